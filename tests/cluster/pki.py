"""Keys and certificates of one run's control plane: an authority, the API server's pair, the service accounts' key."""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from tests.integration.gateway.authorities import template

_NAMES: Final = ("kubernetes", "kubernetes.default", "kubernetes.default.svc", "localhost")


def write(directory: Path, addresses: tuple[str, ...]) -> None:
    """Write ``ca.crt``, ``apiserver.crt``, ``apiserver.key`` and ``accounts.key`` (PEM), valid for a day."""
    authority = ec.generate_private_key(ec.SECP256R1())
    issuer = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "roost-test-authority")])
    root = (
        template(issuer, issuer, authority.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(authority, hashes.SHA256())
    )
    server = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "kube-apiserver")])
    names: list[x509.GeneralName] = [x509.DNSName(name) for name in _NAMES]
    names += [x509.IPAddress(ipaddress.ip_address(address)) for address in addresses]
    certificate = (
        template(subject, issuer, server.public_key())
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .sign(authority, hashes.SHA256())
    )
    (directory / "ca.crt").write_bytes(root.public_bytes(serialization.Encoding.PEM))
    (directory / "apiserver.crt").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    _write_key(directory / "apiserver.key", server)
    _write_key(directory / "accounts.key", rsa.generate_private_key(public_exponent=65537, key_size=2048))


def _write_key(path: Path, key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> None:
    path.touch(mode=0o600)
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
        )
    )
