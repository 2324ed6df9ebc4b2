"""Certificates for scenarios: a server's, programs' and users'. Each is signed with its own key."""

from __future__ import annotations

import ipaddress
from pathlib import Path

from asyncua.crypto import cert_gen, uacrypto
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

SERVER_URI = "urn:moorline:opcua-testkit:server"
CLIENT_URI = "urn:moorline:opcua-interop:client"
# Who has a certificate, as at our server.
USER = "engineer"
# What the worker calls itself unless it is told otherwise, and what the client of the scenarios does.
PROGRAMS = ("Moorline", "interop")


def make(certificate: Path, key: Path, name: str, uri: str) -> tuple[Path, Path]:
    """A certificate for something of this name on this machine, and its key."""
    for path in (certificate, key):
        path.parent.mkdir(parents=True, exist_ok=True)
    private = cert_gen.generate_private_key()
    names = [
        x509.UniformResourceIdentifier(uri), x509.DNSName("localhost"),
        x509.IPAddress(ipaddress.ip_address("127.0.0.1")),
    ]
    usages = [ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH]
    made = cert_gen.generate_self_signed_app_certificate(private, name, {}, names, usages, days=2)
    certificate.write_bytes(made.public_bytes(Encoding.DER))
    key.write_bytes(cert_gen.dump_private_key_as_pem(private))
    return certificate, key


def of_server(directory: Path) -> tuple[Path, Path]:
    return make(directory / "own" / "cert.der", directory / "own" / "key.pem", "asyncua", SERVER_URI)


def of_user(directory: Path) -> tuple[Path, Path]:
    return make(directory / "user" / "cert.der", directory / "user" / "key.pem", USER, f"urn:{USER}")


def is_of_program(certificate: bytes) -> bool:
    """Whether it is a program's that comes for somebody, and not a user's."""
    names = uacrypto.x509_from_der(certificate).subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return any(name.value in PROGRAMS for name in names)
