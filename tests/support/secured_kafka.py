"""A real Kafka broker with TLS, SCRAM-SHA-512, mutual TLS and ACLs."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from typing import Any

from kafka import KafkaAdminClient
from kafka.admin import (
    ACL,
    ACLOperation,
    ACLPermissionType,
    ACLResourcePatternType,
    ResourcePattern,
    ResourceType,
)

from tests.support.programs import free_port

TOOLS = Path(__file__).parents[2] / "tools"
USER, PASSWORD = "stgal", "a-secret-of-the-test"
_ADMIN, _ADMIN_PASSWORD = "admin", "another-secret"
_PROPERTIES = """
listeners=SASL_SSL://127.0.0.1:{sasl},MTLS://127.0.0.1:{mutual},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=SASL_SSL://127.0.0.1:{sasl},MTLS://127.0.0.1:{mutual}
listener.security.protocol.map=SASL_SSL:SASL_SSL,MTLS:SSL,CONTROLLER:PLAINTEXT
inter.broker.listener.name=MTLS
listener.name.mtls.ssl.client.auth=required
ssl.keystore.type=PEM
ssl.keystore.location={folder}/broker-store.pem
ssl.truststore.type=PEM
ssl.truststore.location={folder}/ca.pem
ssl.principal.mapping.rules=RULE:^CN=(.*?)$/$1/
sasl.enabled.mechanisms=SCRAM-SHA-512
listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config=\
org.apache.kafka.common.security.scram.ScramLoginModule required;
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:ANONYMOUS;User:broker;User:admin
"""
# The table of docs/how-to/kafka.md: the kind of thing, and what may be done with it.
_RIGHTS = re.compile(r"^\| (topic|group|transactional id) \| .* \| (.*) \|$", re.MULTILINE)
_KINDS = {
    "topic": ResourceType.TOPIC,
    "group": ResourceType.GROUP,
    "transactional id": ResourceType.TRANSACTIONAL_ID,
}


class SecuredKafka:
    """A broker in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._scratch = folder / "kafka"
        ports = [free_port() for _ in range(3)]
        self.address, self.mutual_address = (f"127.0.0.1:{port}" for port in ports[:2])
        self._make_certificates()
        properties = folder / "extra.properties"
        sasl, mutual, controller = ports
        properties.write_text(
            _PROPERTIES.format(sasl=sasl, mutual=mutual, controller=controller, folder=folder)
            + f"controller.quorum.voters=1@127.0.0.1:{controller}\n"
        )
        users = ((USER, PASSWORD), (_ADMIN, _ADMIN_PASSWORD))
        scram = [f"SCRAM-SHA-512=[name={name},password={word}]" for name, word in users]
        env = os.environ | {
            "KAFKA_PROPERTIES": str(properties),
            "KAFKA_FORMAT": "\n".join(f"--add-scram\n{each}" for each in scram),
        }
        started = [str(TOOLS / "kafka-start"), str(self._scratch), str(sasl)]
        subprocess.run(started, env=env, check=True, capture_output=True)

    def stop(self) -> None:
        """Ends the broker."""
        stopped = [str(TOOLS / "kafka-stop"), str(self._scratch)]
        subprocess.run(stopped, check=True, capture_output=True)

    @property
    def scram(self) -> dict[str, Any]:
        """Security settings of the user who authenticates by password."""
        return self._scram(USER, PASSWORD)

    @property
    def mutual(self) -> dict[str, Any]:
        """Security settings of the user who authenticates by certificate."""
        return {
            "security_protocol": "SSL",
            "ssl_cafile": str(self._folder / "ca.pem"),
            "ssl_certfile": str(self._folder / f"{USER}.pem"),
            "ssl_keyfile": str(self._folder / f"{USER}.key"),
        }

    @property
    def administrator(self) -> dict[str, Any]:
        """Security settings of who may do everything."""
        return self._scram(_ADMIN, _ADMIN_PASSWORD)

    @property
    def other_authority(self) -> str:
        """A certificate that did not sign the broker's."""
        return (self._folder / f"{USER}.pem").read_text()

    def grant(self, page: Path, names: dict[str, str]) -> None:
        """Gives the user the rights that a page lists, and no more, on what begins with these
        ``names``, by kind."""
        acls = []
        for kind, operations in _RIGHTS.findall(page.read_text()):
            at = ResourcePattern(_KINDS[kind], names[kind], ACLResourcePatternType.PREFIXED)
            for operation in operations.split(", "):
                allowed = ACLOperation[operation.upper().replace(" ", "_")]
                acls.append(ACL(f"User:{USER}", "*", allowed, ACLPermissionType.ALLOW, at))
        assert acls
        admin = KafkaAdminClient(bootstrap_servers=[self.address], **self.administrator)
        admin.create_acls(acls)
        admin.close()

    def _scram(self, user: str, password: str) -> dict[str, Any]:
        return {
            "security_protocol": "SASL_SSL",
            "sasl_mechanism": "SCRAM-SHA-512",
            "sasl_plain_username": user,
            "sasl_plain_password": password,
            "ssl_cafile": str(self._folder / "ca.pem"),
        }

    def _make_certificates(self) -> None:
        new = ["req", "-newkey", "rsa:2048", "-nodes"]
        self._openssl(*new, "-x509", "-days", "2", "-subj", "/CN=test-ca", "-keyout", "ca.key",
                      "-out", "ca.pem")  # fmt: skip
        for name in ("broker", USER):
            self._openssl(*new, "-subj", f"/CN={name}", "-addext", "subjectAltName=IP:127.0.0.1",
                          "-keyout", f"{name}.key", "-out", f"{name}.csr")  # fmt: skip
            self._openssl("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey",
                          "ca.key", "-CAcreateserial", "-days", "2", "-copy_extensions", "copy",
                          "-out", f"{name}.pem")  # fmt: skip
        store = [(self._folder / f"broker.{kind}").read_text() for kind in ("key", "pem")]
        (self._folder / "broker-store.pem").write_text("".join(store))

    def _openssl(self, *arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=self._folder, check=True, capture_output=True)
