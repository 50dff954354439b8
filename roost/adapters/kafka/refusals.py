"""What the failure of a connection or a request means, where the broker is there and does not let us in. Pure."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from kafka import errors

from roost.contracts.errors import BrokerRefused
from roost.settings import KafkaSettings

#: First bytes of a TLS alert, where a client that speaks plain text reads the length of an answer (RFC 8446, 5.1).
_ALERT: Final = 0x1503
_ACCOUNTS: Final = "`roost topics rights` lists what each account may; `roost topics ensure --acls` sets it up"
_NO_TLS: Final = ("UNEXPECTED_EOF_WHILE_READING", "WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "Connection reset")
_OUR_PAIR: Final = (
    "ALERT_BAD_CERTIFICATE",
    "ALERT_CERTIFICATE_REQUIRED",
    "ALERT_CERTIFICATE_EXPIRED",
    "ALERT_CERTIFICATE_REVOKED",
    "ALERT_CERTIFICATE_UNKNOWN",
    "ALERT_UNKNOWN_CA",
)


def refusal(error: Exception, settings: KafkaSettings) -> BrokerRefused | None:
    """Who refuses what, and the remedy; None where the error only says that nothing answers."""
    found = _login(error, settings) or _right(error, settings) or _encryption(error, settings)
    return BrokerRefused(*found) if found else None


def unreadable(settings: KafkaSettings) -> BrokerRefused | None:
    """A file of ours that is not there or not ours to read, found before anybody connects."""
    found = _unreadable(settings, FileNotFoundError())
    return BrokerRefused(*found) if found else None


def silent_end(settings: KafkaSettings) -> BrokerRefused:
    """The broker took the connection, and ended it before it was of any use, without a reason that came through.

    In TLS 1.3 a client is done with the handshake before the broker has seen its certificate; the alert may then be
    lost with the connection.
    """
    certificate = "; if it asks for certificates, see ROOST_KAFKA__SSL_CERTFILE and _SSL_KEYFILE"
    return BrokerRefused(
        f"Kafka at {settings.bootstrap} ends each connection at the first question",
        "if that port wants a login, set ROOST_KAFKA__SECURITY_PROTOCOL=SASL_SSL with _SASL_MECHANISM, _USERNAME and "
        f"_PASSWORD{certificate if settings.security_protocol == 'SSL' else ''}; else the broker is just starting or "
        "stopping",
    )


def _login(error: Exception, settings: KafkaSettings) -> tuple[str, str] | None:
    where, mechanism = f"Kafka at {settings.bootstrap}", settings.sasl_mechanism
    plainer = settings.security_protocol.removeprefix("SASL_")
    secret = f"what {settings.sasl_password_file} holds" if settings.sasl_password_file else "_SASL_PASSWORD"
    if isinstance(error, errors.SaslAuthenticationFailedError):
        return (
            f"{where} refuses the login of {settings.sasl_username!r} by {mechanism}",
            f"correct ROOST_KAFKA__SASL_USERNAME and {secret}; does the broker have that user (kafka-configs)?",
        )
    if isinstance(error, errors.UnsupportedSaslMechanismError):
        return (
            f"{where} does not take the SASL mechanism {mechanism}",
            "set ROOST_KAFKA__SASL_MECHANISM to one of the broker's sasl.enabled.mechanisms, such as SCRAM-SHA-512",
        )
    if isinstance(error, errors.IllegalSaslStateError):
        return (
            f"{where} takes no login on this port",
            f"set ROOST_KAFKA__SECURITY_PROTOCOL={plainer}, or ask the port of a SASL listener",
        )
    return None


def _right(error: Exception, settings: KafkaSettings) -> tuple[str, str] | None:
    # A producer that may write nowhere is told so while it asks for its number, and wraps that in an error of no kind.
    named = re.search(r"\w+AuthorizationFailedError", f"{type(error).__name__} {error}")
    if named is None:
        return None
    what = {
        errors.TopicAuthorizationFailedError.__name__: "on a topic",
        errors.GroupAuthorizationFailedError.__name__: "in a consumer group",
        errors.ClusterAuthorizationFailedError.__name__: "on the cluster",
    }.get(named[0], "")
    who = _who(settings)
    return f"Kafka at {settings.bootstrap} does not let {who} do this {what} ({_names(error)})", _ACCOUNTS


def _who(settings: KafkaSettings) -> str:
    if settings.security_protocol.startswith("SASL"):
        return settings.sasl_username or "nobody"
    return "this client's certificate" if settings.ssl_certfile else "a client without a login"


def _names(error: Exception) -> str:
    """What the client said it is about: a set of names, a name, or a sentence."""
    said = error.args[0] if error.args else ""
    parts = sorted(map(str, said)) if isinstance(said, set | frozenset | list | tuple) else [str(said)]
    return f"{type(error).__name__}: {', '.join(' '.join(part.split())[:200] for part in parts)}".rstrip(": ")


def _encryption(error: Exception, settings: KafkaSettings) -> tuple[str, str] | None:
    where, said = f"Kafka at {settings.bootstrap}", str(error)
    if isinstance(error, errors.InvalidReceiveError) and _is_alert(said):
        return (
            f"{where} speaks TLS on this port and was asked in plain text ({settings.security_protocol})",
            "set ROOST_KAFKA__SECURITY_PROTOCOL=SASL_SSL (or SSL), and ROOST_KAFKA__SSL_CAFILE",
        )
    if not settings.security_protocol.endswith("SSL"):
        return _files(error, settings)
    if "CERTIFICATE_VERIFY_FAILED" in said:
        return f"the certificate of {where} is not trusted ({_reason(said)})", _trust(said, settings)
    if any(one in said for one in _OUR_PAIR):
        return (
            f"{where} does not take this client's certificate ({_reason(said)})",
            "ROOST_KAFKA__SSL_CERTFILE and _SSL_KEYFILE need a pair signed by an authority of the broker's truststore",
        )
    if "Handshake failed" in said and any(one in said for one in _NO_TLS):
        return (
            f"{where} does not speak TLS on this port ({_reason(said)})",
            "ask the port of a TLS listener in ROOST_KAFKA__BOOTSTRAP, or correct ROOST_KAFKA__SECURITY_PROTOCOL",
        )
    return _files(error, settings)


def _is_alert(said: str) -> bool:
    length = said.rpartition(" ")[2]
    return length.isdecimal() and int(length) >> 16 == _ALERT


def _trust(said: str, settings: KafkaSettings) -> str:
    if "ostname mismatch" in said or "IP address mismatch" in said:
        return "name the brokers in ROOST_KAFKA__BOOTSTRAP (and they themselves in advertised.listeners) as in it"
    if "expired" in said or "not yet valid" in said:
        return "renew the broker's certificate, and look at this machine's clock"
    held = settings.ssl_cafile or "the system's authorities"
    return f"put the certificate of the authority that signed the broker's in ROOST_KAFKA__SSL_CAFILE (now {held})"


def _reason(said: str) -> str:
    """OpenSSL's own words, without its codes and where in its source they stand."""
    found = re.search(r"\[[A-Z0-9]+: \w+\] (.+?)(?: \(_ssl|$)", said)
    return found[1] if found else " ".join(said.split())[:200]


def _files(error: Exception, settings: KafkaSettings) -> tuple[str, str] | None:
    """A file of ours that cannot be read, or does not hold what it should."""
    if not isinstance(error, OSError):
        return None
    found = _unreadable(settings, error)
    if found is not None or type(error).__name__ != "SSLError":
        return found
    files = ", ".join(f"{name}={path}" for name, path in _tls_files(settings).items() if path is not None)
    return f"a TLS file of this client cannot be used ({_reason(str(error))})", f"look at {files}: PEM, and a pair"


def _unreadable(settings: KafkaSettings, error: OSError) -> tuple[str, str] | None:
    """The first file, of those that this protocol uses, that cannot be read."""
    named = _tls_files(settings) if settings.security_protocol.endswith("SSL") else {}
    if settings.security_protocol.startswith("SASL"):
        named["ROOST_KAFKA__SASL_PASSWORD_FILE"] = settings.sasl_password_file
    for name, path in named.items():
        if path is not None and not _readable(path):
            return f"{name} names {path}, which cannot be read ({type(error).__name__})", "put the file there"
    return None


def _tls_files(settings: KafkaSettings) -> dict[str, Path | None]:
    return {
        "ROOST_KAFKA__SSL_CAFILE": settings.ssl_cafile,
        "ROOST_KAFKA__SSL_CERTFILE": settings.ssl_certfile,
        "ROOST_KAFKA__SSL_KEYFILE": settings.ssl_keyfile,
    }


def _readable(path: Path) -> bool:
    try:
        with path.open("rb"):
            return True
    except OSError:
        return False
