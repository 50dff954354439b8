"""Commands of `roost`: keys and tokens for the gateway, where no identity provider issues them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from roost import settings
from roost.contracts.errors import Permanent

PANEL = "Set-up"
_HELP = """Keys and tokens that open the gateway.

Without keys the gateway asks nobody for a token. To have it ask, make a key, publish its public half, name that file to
each node, and make a token for each application:

  roost token create-key signing.pem

  roost token key-set signing.pem --out jwks.json

  export ROOST_GATEWAY__JWKS_FILE=$PWD/jwks.json

  roost token mint signing.pem my-app --customer ua

The holder sends it as `Authorization: Bearer TOKEN`, by REST and by gRPC alike. In production an identity provider
issues tokens of the same form, and ROOST_GATEWAY__JWKS_URL names its keys.
"""


def register(app: typer.Typer) -> None:
    """Add this module's commands to `app`."""
    tokens = typer.Typer(help=_HELP, no_args_is_help=True)
    tokens.command("create-key")(create_key)
    tokens.command("key-set")(write_key_set)
    tokens.command("mint")(mint_token)
    app.add_typer(tokens, name="token", rich_help_panel=PANEL)


def create_key(
    file: Annotated[Path, typer.Argument(help="A new PEM file; one that is there is never overwritten.")],
) -> None:
    """Make a signing key. Whoever has it can make tokens: only its owner may read the file."""
    from serving.gateway.tokens import SigningKey

    key = SigningKey.create()
    key.write(file)
    typer.echo(f"{file} holds a new key, {key.kid}. Next: roost token key-set {file} --out jwks.json", err=True)


def write_key_set(
    keys: Annotated[list[Path], typer.Argument(help="Signing keys, the old and the new one while you change them.")],
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Replace this file; without it, print.")] = None,
) -> None:
    """Publish the public halves of signing keys, by which gateways check tokens. They are no secret.

    To change keys without refusing anybody: publish both (`roost token key-set old.pem new.pem --out jwks.json`), mint
    with the new one, and publish the new one alone once the last token of the old one has expired. Gateways take the
    file up within ten seconds.
    """
    from serving.gateway.tokens import SigningKey, key_set

    content = key_set([SigningKey.read(file) for file in keys])
    if out is None:
        typer.echo(content, nl=False)
        return
    # A gateway notices a file that is renamed into its place, and never reads half of one.
    fresh = out.with_name(f".{out.name}.new")
    try:
        fresh.write_text(content)
        fresh.replace(out)
    except OSError as error:
        raise Permanent(f"{out} cannot be written: {error.strerror}") from error


def mint_token(
    key: Annotated[Path, typer.Argument(help="The signing key.")],
    subject: Annotated[str, typer.Argument(help="Who asks; stands in the gateway's access log.")],
    customers: Annotated[
        list[str] | None,
        typer.Option("--customer", "-c", help="Opens this customer's models only. Repeat for several."),
    ] = None,
    labels: Annotated[
        list[str] | None,
        typer.Option("--label", "-l", help="May name this version label, and no other. Repeat for several; * is all."),
    ] = None,
    hours: Annotated[float, typer.Option(min=0.01, help="Until it expires.")] = 1,
) -> None:
    """Make a token and print it.

    `roost token mint signing.pem my-app --customer ua --label stable` opens the models of ua, in the version that is
    stable and in no other. Without --customer it opens every model; without --label its holder may name what the
    setting ROOST_GATEWAY__CHOICES allows. A token cannot be called back before it expires: give it a short life.
    """
    from roost.ports.clock import SystemClock
    from serving.gateway.tokens import Grant, SigningKey, mint

    gateway = settings.load().gateway
    grant = Grant(
        subject=subject,
        issuer=gateway.issuer,
        audience=gateway.audience,
        lifetime=hours * 3600,
        customers=tuple(customers) if customers else None,
        labels=tuple(labels) if labels else None,
    )
    typer.echo(mint(SigningKey.read(key), grant, now=SystemClock().now().timestamp()))
