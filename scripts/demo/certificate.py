"""A certificate that the demo signs itself, for the relay's https ports. Browsers warn of it: nobody vouches for it."""

import ipaddress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_LIFETIME = timedelta(days=365)
_RENEWED_BEFORE_ITS_END = timedelta(days=30)
_NAMES = ("localhost", "*.localhost")
_ADDRESSES = ("127.0.0.1", "::1")


def ensure_certificate(folder: Path) -> tuple[Path, Path]:
    """The files of the certificate and its key in ``folder``, made where they are missing or about to expire."""
    certificate, key = folder / "relay_certificate.pem", folder / "relay_certificate_key.pem"
    now = datetime.now(UTC)
    if not (key.exists() and _holds(certificate, now)):
        _make(certificate, key, now)
    return certificate, key


def _holds(certificate: Path, now: datetime) -> bool:
    try:
        found = x509.load_pem_x509_certificate(certificate.read_bytes())
    except (OSError, ValueError):
        return False
    return found.not_valid_after_utc - _RENEWED_BEFORE_ITS_END > now


def _make(certificate: Path, key: Path, now: datetime) -> None:
    private = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Spotyard demo")])
    places = [x509.IPAddress(ipaddress.ip_address(address)) for address in _ADDRESSES]
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + _LIFETIME)
        .add_extension(x509.SubjectAlternativeName([*map(x509.DNSName, _NAMES), *places]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(private, hashes.SHA256())
    )
    key.touch(mode=0o600)
    plain = serialization.NoEncryption()
    pem = serialization.Encoding.PEM
    key.write_bytes(private.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain))
    certificate.write_bytes(signed.public_bytes(pem))
