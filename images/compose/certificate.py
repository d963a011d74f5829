"""Make the certificate that closes SeaweedFS's gRPC port: nobody has a certificate that it accepts.

The S3 gateway of SeaweedFS 4.48 serves gRPC on the address of its S3 port. Without TLS, whoever reaches it may add an
administrator (`PutIdentity`). With `grpc.ca` set, clients need a certificate of that authority. The authority here is
the server's own certificate, which may sign no other.
"""

from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

LIFE = timedelta(days=3650)


def main(folder: Path) -> None:
    """Write `certificate.pem` and `key.pem`, unless they exist."""
    if (folder / "certificate.pem").exists():
        return
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "nobody")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + LIFE)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([x509.oid.ExtendedKeyUsageOID.SERVER_AUTH]), critical=True)
        .sign(key, hashes.SHA256())
    )
    plain = serialization.NoEncryption()
    pem = serialization.Encoding.PEM
    # SeaweedFS's image runs as another user. The key lets nobody in: it is no client's.
    (folder / "key.pem").write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain))
    (folder / "certificate.pem").write_bytes(certificate.public_bytes(pem))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
