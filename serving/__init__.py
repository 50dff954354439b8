"""What runs in a serving pod: the node, the gateway's configuration, and the drop-in model server."""
