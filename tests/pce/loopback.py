"""A bare server on the loopback: each test says, byte by byte, what it answers; and certificates made on the spot."""

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

Script = Callable[[socket.socket, bytes], None]


def reply(body: bytes, *, status: str = "200 OK", headers: str = "") -> bytes:
    """It says that the connection ends, so that nobody asks over it again before the end has arrived."""
    return f"HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {len(body)}\r\n{headers}\r\n".encode() + body


class Loopback:
    """Reads one request from each connection, gives it to `script`, and closes the connection."""

    def __init__(self, script: Script, context: ssl.SSLContext | None = None) -> None:
        self.requests: list[bytes] = []
        self._script = script
        self._context = context
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        with self._listener, contextlib.suppress(OSError):
            while True:
                conn, _ = self._listener.accept()
                conn.settimeout(10.0)
                with contextlib.suppress(OSError), self._dressed(conn) as line:
                    request = read_head(line)
                    self.requests.append(request)
                    self._script(line, request)

    @contextlib.contextmanager
    def _dressed(self, conn: socket.socket) -> Iterator[socket.socket]:
        with conn:
            if not self._context:
                yield conn
                return
            with self._context.wrap_socket(conn, server_side=True) as secure:
                yield secure

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join(5.0)


def read_head(line: socket.socket) -> bytes:
    head = b""
    while b"\r\n\r\n" not in head:
        if not (piece := line.recv(4096)):
            break
        head += piece
        if head.startswith(b"\x16"):  # a TLS greeting where plain HTTP is spoken
            break
    return head


@contextlib.contextmanager
def serving(script: Script, context: ssl.SSLContext | None = None) -> Iterator[Loopback]:
    server = Loopback(script, context)
    try:
        yield server
    finally:
        server.close()


def relay(line: socket.socket, target: socket.socket) -> None:
    """Carry bytes both ways until either end closes."""

    def carry(source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while piece := source.recv(65536):
                sink.sendall(piece)
        with contextlib.suppress(OSError):
            sink.shutdown(socket.SHUT_WR)

    back = threading.Thread(target=carry, args=(target, line), daemon=True)
    back.start()
    carry(line, target)
    back.join(5.0)


class Authority:
    """A private CA, and certificates that it signs."""

    def __init__(self, folder: Path, name: str = "ca") -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"Test {name}")])
        certificate = self._sign(self._name, self._key, x509.BasicConstraints(ca=True, path_length=None), [])
        self.file = folder / f"{name}.pem"
        self.file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))

    def context(self, *names: x509.GeneralName) -> ssl.SSLContext:
        """A server's side of TLS, with a certificate for `names` (the loopback address when there are none)."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "pce")])
        plain = x509.BasicConstraints(ca=False, path_length=None)
        certificate = self._sign(subject, key, plain, list(names) or [x509.IPAddress(ip_address("127.0.0.1"))])
        both = self._folder / "server.pem"
        both.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
            + certificate.public_bytes(serialization.Encoding.PEM)
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(both)
        return context

    def _sign(
        self,
        subject: x509.Name,
        key: ec.EllipticCurvePrivateKey,
        constraints: x509.BasicConstraints,
        names: list[x509.GeneralName],
    ) -> x509.Certificate:
        now = datetime.now(UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=1))
            .add_extension(constraints, critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
            .add_extension(_usage(ca=constraints.ca), critical=True)
        )
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        return builder.sign(self._key, hashes.SHA256())


def _usage(*, ca: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=ca,
        crl_sign=ca,
        encipher_only=False,
        decipher_only=False,
    )
