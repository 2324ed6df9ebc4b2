"""The worker's back end, with servers whose endpoints are secured; and asyncua's client with ours."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import certificates
from asyncua import Client, ua
from asyncua.crypto.security_policies import SecurityPolicyBasic256Sha256
from asyncua.ua.uaerrors import BadIdentityTokenRejected, BadUserAccessDenied
from harness import Kit, Site, Worker, name
from server import PASSWORD, USER

TRUSTING = "trust_unknown_certificates = true\n"
POLICIES = ("Basic256Sha256", "Aes128-Sha256-RsaOaep", "Aes256-Sha256-RsaPss")


@contextmanager
def directory() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as made:
        yield Path(made)


def as_certificate(certificate: Path, key: Path) -> str:
    return f'{TRUSTING}user_certificate = "{certificate}"\nuser_key = "{key}"\n'


def as_user(home: Path, user: str, password: str) -> str:
    file = f"{user}-{len(list(home.iterdir()))}.password"
    (home / file).write_text(password)
    return f'{TRUSTING}user = "{user}"\npassword_file = "{file}"\n'


async def writes(worker: Worker, tag: str, value: object) -> bool:
    """Whether a tag takes a value; if so it is told."""
    server = (await worker.do("register", client="interop"))["server"]
    item = await worker.item(server, tag)
    await worker.do("advise", **item)
    await worker.event("data_change", tag=tag)
    await worker.do("write", **item, value=value)
    line = await worker.line(lambda line: "event" in line and "write_complete" in line["event"]["said"])
    if not all(status["success"] for status in line["event"]["statuses"]):
        return False
    await worker.event("data_change", lambda sample: sample["value"] == value, tag)
    return True


async def an_encrypted_session_is_one_like_any(kit: Kit, site: Site) -> None:
    with directory() as home:
        for number, policy in enumerate(POLICIES):
            endpoint = f'{TRUSTING}security_policy = "{policy}"\n'
            async with kit.worker_with(home, site.url, endpoint) as worker:
                assert isinstance(worker, Worker), (policy, worker)
                reading = (await worker.do("read", items=[name("Int32")]))["readings"][0]
                assert reading["success"], (policy, reading)
                assert await writes(worker, "Int32", 100 + number), policy
                assert not await writes(worker, "Secured", 1), policy


async def a_server_is_trusted_when_its_certificate_is_moved_as_the_refusal_says(kit: Kit, site: Site) -> None:
    with directory() as home:
        for _ in range(2):
            async with kit.worker_with(home, site.url, "") as refusal:
                assert isinstance(refusal, str), "it is open"
                for word in (str(home / "pki" / "rejected"), str(home / "pki" / "trusted"), "move"):
                    assert word in refusal, refusal
        for certificate in (home / "pki" / "rejected").iterdir():
            certificate.rename(home / "pki" / "trusted" / certificate.name)
        async with kit.worker_with(home, site.url, "") as worker:
            assert isinstance(worker, Worker), worker


async def users_are_let_in_by_password_or_certificate_and_others_are_refused(kit: Kit, site: Site) -> None:
    with directory() as home:
        certificate, key = site.user()
        for value, endpoint in enumerate((as_user(home, USER, PASSWORD), as_certificate(certificate, key)), start=1):
            async with kit.worker_with(home, site.url, endpoint) as worker:
                assert isinstance(worker, Worker), (endpoint, worker)
                assert await writes(worker, "Secured", value), endpoint
        stranger = certificates.make(home / "stranger.der", home / "stranger.pem", "stranger", "urn:stranger")
        for endpoint, word in (
            (as_user(home, USER, "another"), USER),
            (as_user(home, "nobody", PASSWORD), "nobody"),
            (as_certificate(*stranger), "stranger.der"),
        ):
            async with kit.worker_with(home, site.url, endpoint) as refusal:
                assert isinstance(refusal, str) and word in refusal, (endpoint, refusal)
                assert PASSWORD not in refusal and "another" not in refusal, refusal


async def a_user_of_a_client_is_authenticated(kit: Kit, site: Site) -> None:
    with directory() as home:
        async with kit.worker_with(home, site.url, TRUSTING) as worker:
            assert isinstance(worker, Worker), worker
            server = (await worker.do("register", client="interop"))["server"]
            for password, accepted in (("another", False), (PASSWORD, True)):
                result = await worker.run("authenticate_user", server=server, user=USER, password=password)
                assert result["success"] == accepted, result


async def client(home: Path, site: Site) -> Client:
    """The client of asyncua, over an encrypted endpoint."""
    certificate, key = certificates.make(home / "client.der", home / "client.pem", "interop", certificates.CLIENT_URI)
    made = Client(site.url)
    made.application_uri = certificates.CLIENT_URI
    mode = ua.MessageSecurityMode.SignAndEncrypt
    await made.set_security(SecurityPolicyBasic256Sha256, str(certificate), str(key), mode=mode)
    return made


async def the_client_of_asyncua_is_let_in_as_whoever_it_proves_to_be(_: Kit, site: Site) -> None:
    number = ua.Variant(3, ua.VariantType.Int32)
    with directory() as home:
        for who in ("nobody", "user", "certificate", "wrong"):
            made = await client(home, site)
            if who in ("user", "wrong"):
                made.set_user(USER)
                made.set_password(PASSWORD if who == "user" else "another")
            if who == "certificate":
                certificate, key = site.user()
                await made.load_client_certificate(str(certificate))
                await made.load_private_key(str(key))
            try:
                async with made:
                    await made.get_node(name("Secured")).write_value(number)
                written = True
            except (BadUserAccessDenied, BadIdentityTokenRejected):
                written = False
            assert written == (who in ("user", "certificate")), who


OF_WORKER = [
    an_encrypted_session_is_one_like_any,
    a_server_is_trusted_when_its_certificate_is_moved_as_the_refusal_says,
    users_are_let_in_by_password_or_certificate_and_others_are_refused,
    a_user_of_a_client_is_authenticated,
]
OF_CLIENT = [the_client_of_asyncua_is_let_in_as_whoever_it_proves_to_be]
