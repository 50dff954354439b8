"""The two questions that need no run: GetModelStatus and GetModelMetadata."""

from roost.adapters.tf_messages import get_model_metadata_pb2, get_model_status_pb2, model_pb2
from serving.model_server.core import ServerCore
from serving.model_server.serving_map import ModelRequest
from serving.model_server.statuses import invalid_argument

SIGNATURE_DEF = "signature_def"


def model_request(spec: model_pb2.ModelSpec) -> ModelRequest:
    """Return what a request's ModelSpec asks for."""
    choice = spec.WhichOneof("version_choice")
    return ModelRequest(
        name=spec.name,
        version=spec.version.value if choice == "version" else None,
        label=spec.version_label if choice == "version_label" else "",
    )


def get_status(
    core: ServerCore, request: get_model_status_pb2.GetModelStatusRequest
) -> get_model_status_pb2.GetModelStatusResponse:
    """Tell the states of a model's versions, newest first. Raises INVALID_ARGUMENT, NOT_FOUND."""
    if not request.HasField("model_spec"):
        raise invalid_argument("Missing ModelSpec")
    response = get_model_status_pb2.GetModelStatusResponse()
    for version, each in core.states(model_request(request.model_spec)).items():
        status = response.model_version_status.add(version=version, state=int(each.state))
        status.status.error_code = int(each.code)
        status.status.error_message = each.error.raw.decode("utf-8", "replace") if each.error else ""
    return response


def get_metadata(
    core: ServerCore, request: get_model_metadata_pb2.GetModelMetadataRequest
) -> get_model_metadata_pb2.GetModelMetadataResponse:
    """Tell a version's signatures. Raises INVALID_ARGUMENT, NOT_FOUND."""
    if not request.HasField("model_spec"):
        raise invalid_argument("Missing ModelSpec")
    if not request.metadata_field:
        raise invalid_argument("GetModelMetadataRequest must specify at least one metadata_field")
    for field in request.metadata_field:
        if field != SIGNATURE_DEF:
            # The official text has its placeholder still in it, and the field at its end.
            raise invalid_argument(f"Metadata field %s is not supported{field}")
    response = get_model_metadata_pb2.GetModelMetadataResponse()
    signatures = get_model_metadata_pb2.SignatureDefMap()
    with core.servable(model_request(request.model_spec)) as servable:
        response.model_spec.name = servable.name
        response.model_spec.version.value = servable.version
        for name, definition in servable.signature_defs.items():
            signatures.signature_def[name].CopyFrom(definition)
    response.metadata[SIGNATURE_DEF].Pack(signatures)
    return response
