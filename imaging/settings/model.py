"""The settings of all services as immutable sections, and what is safe of them.

Anything but a loopback address needs TLS and a bearer token, or an explicit `insecure`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import Field

from imaging.errors import SettingsInvalid
from imaging.rpc.connection_settings import ChannelSettings, ListenSettings
from imaging.rpc.loopback import is_loopback
from imaging.settings.front import FrontSettings
from imaging.settings.gateway import DestinationId as WebhookId
from imaging.settings.gateway import GatewaySettings
from imaging.settings.own_database import OwnDatabase
from imaging.settings.section import Address, Addresses, FromText, Section
from imaging.settings.security_files import check_server_certificate, check_trusted_certificates, read_token
from imaging.settings.webhook import Webhook

SERVICE_NAMES: Final = ("storage", "processing", "analysis", "reporting", "pipeline", "gateway")
"""In the order of their ports, from `port_base` on."""

ServiceName = Literal["storage", "processing", "analysis", "reporting", "pipeline", "gateway"]

DOOR_NAMES: Final = ("http", "dimse")
"""What the gateway listens on besides gRPC; their ports come after those of the services."""

DoorName = Literal["http", "dimse"]


class StorageSettings(OwnDatabase):
    """The storage service."""

    address: Addresses = "127.0.0.1:50051"
    """`host:port` to listen on, and where the others find it: there also several, of replicas, with commas."""

    quiet_time_seconds: float = Field(5.0, gt=0)
    """A study without new instances for so long is complete. 5 s suit senders on the same machine; a PACS needs 60."""

    bytes_in_flight: int = Field(64 * 1024 * 1024, ge=8 * 1024 * 1024, le=64 * 1024**3)
    """Bytes of uploads held in memory over all streams; a full budget slows the senders down."""

    delete_grace_days: float = Field(7.0, ge=0)
    """How long a deleted study can be restored."""

    upload_expiry_hours: float = Field(24.0, gt=0)
    """An unfinished upload is dropped after so long without new bytes."""

    sweep_interval_seconds: float = Field(300.0, gt=0)
    """How often expired uploads and studies to purge are looked for."""

    orphan_sweep_hours: float = Field(24.0, gt=0)
    """How often the whole object store is listed for objects that nothing names. Only a crash leaves some, and ten
    million objects of a bucket take 10,000 requests. The first time is an hour after the start."""

    scrub_period_days: float = Field(30.0, gt=0)
    """Every kept object is read and verified at least once in so many days, evenly, as far as the rate allows."""

    scrub_bytes_per_second: int = Field(32 * 1024 * 1024, ge=64 * 1024)
    """Bytes that the scrub reads at most. 32 MiB/s verify 80 TB in 30 days, and leave most of a disk to others."""

    s3_endpoint: str = ""
    """`host:port` of an S3 server (MinIO and others) that keeps the objects; empty: a folder below `data_dir` does."""

    s3_bucket: str = ""
    """A bucket for this installation alone; it is made if there is none."""

    s3_access_key_file: Path | None = None
    """File with the access key; readable by its owner alone."""

    s3_secret_key_file: Path | None = None
    """File with the secret key; readable by its owner alone."""

    s3_secure: bool = True
    """Speak https with it. Plain http needs a loopback address or `security.insecure`."""

    s3_ca_file: Path | None = None
    """PEM certificates to trust instead of the public ones, for a server with a certificate of the house."""

    s3_region: str = "us-east-1"
    """Region of the bucket; MinIO and SeaweedFS take the default."""

    s3_sse: str = ""
    """Encryption by the S3 server: `s3`, or `kms:` and a key; empty: as the bucket is set up."""

    s3_timeout_seconds: float = Field(20.0, gt=0)
    """Longest silence of the S3 server within one answer."""


class ProcessingSettings(Section):
    """The processing service."""

    address: Addresses = "127.0.0.1:50052"
    """`host:port` to listen on, and where the others find it: there also several, of replicas, with commas."""


class AnalysisSettings(OwnDatabase):
    """The analysis service."""

    address: Addresses = "127.0.0.1:50053"
    """`host:port` to listen on, and where the others find it: there also several, of replicas, with commas."""

    model_time_limit_minutes: float = Field(20.0, gt=0)
    """A model that takes longer fails its stage."""

    onnx_models_dir: Path | None = None
    """Folder with a subfolder an ONNX model, each with `model.onnx` and `model.yaml` (docs/models.md); None: there are
    none."""


class ReportingSettings(OwnDatabase):
    """The reporting service."""

    address: Addresses = "127.0.0.1:50054"
    """`host:port` to listen on, and where the others find it: there also several, of replicas, with commas."""


class PipelineSettings(OwnDatabase):
    """The pipeline service."""

    address: Addresses = "127.0.0.1:50055"
    """`host:port` to listen on, and where the others find it: there also several, of replicas, with commas."""

    recipes_dir: Path | None = None
    """Folder of YAML recipes that are tried before the built-in ones."""

    webhooks: Annotated[dict[WebhookId, Webhook], FromText] = Field(default_factory=dict)
    """Who is told of alerts by HTTP, by a short name."""

    webhook_give_up_hours: float = Field(24.0, gt=0)
    """An alert that a webhook does not take is told again for so long, less and less often; then a person decides."""

    webhook_again_seconds: float = Field(5.0, gt=0)
    """Wait before it is told again for the first time; it doubles, up to an hour."""

    max_parallel_runs: int = Field(2, ge=1)
    """Runs worked on at the same time; more wait."""

    run_deadline_minutes: float = Field(30.0, gt=0)
    """A run that takes longer is ended as CANCELLED with the reason, unless its recipe gives it another time."""


class DatabaseSettings(Section):
    """The PostgreSQL database of all services; without a URL each keeps a SQLite file below `data_dir`."""

    url: str = ""
    """`postgresql://user@host:5432/database`, with libpq's parameters but no password. Empty: SQLite."""

    password_file: Path | None = None
    """File with the password; readable by its owner alone. Read for each new connection."""

    ca_file: Path | None = None
    """PEM certificates by which the server must prove itself. Needed for a server on another machine."""

    schema_prefix: str = Field("imaging", pattern=r"^[a-z_][a-z0-9_]{0,39}$")
    """Each service has its tables in a schema of its own, e.g. `imaging_storage`."""

    migrate_at_start: bool = True
    """Each service brings its tables up to this release when it starts; of several replicas one does, the others wait.
    False: they refuse older tables, where `imaging db upgrade` runs as a step of its own."""

    accept_data_loss: bool = False
    """Use a server with `fsync` or `full_page_writes` off. Only for stores that may be thrown away."""


class SecuritySettings(Section):
    """Who may reach the services, and how. The same for all services of one installation."""

    certificate_file: Path | None = None
    """PEM chain of the servers."""

    key_file: Path | None = None
    """PEM key of the servers; readable by its owner alone."""

    ca_file: Path | None = None
    """PEM certificates that clients trust."""

    server_name: str = ""
    """The name in the certificates that clients expect, where it is not the host of the address."""

    token_file: Path | None = None
    """File with the bearer token that every call must carry; readable by its owner alone."""

    insecure: bool = False
    """Listen on addresses other than loopback without TLS and token. Only behind something that does both."""


class TelemetrySettings(Section):
    """Logs and metrics. What leaves by OTLP follows the standard OTEL_* variables and is off without an endpoint."""

    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    """Least level that is written."""

    metrics_address: Address | Literal[""] = ""
    """`host:port` where storage serves `/metrics` for Prometheus, the other services on the next ports, in the order of
    `SERVICE_NAMES`; port 0: free ones. Empty: nowhere. They hold no patient data and are served in plain http: listen
    on loopback, or where only the scraper comes."""

    health_address: Address | Literal[""] = ""
    """`host:port` where storage serves gRPC health alone in plain text, the others on the next ports, for probes that
    speak no TLS (Kubernetes). Health is served with all else in any case. Empty: nowhere else."""


def _in_a_row(first: str, service: ServiceName) -> str:
    """The address of a service whose ports follow one another; port 0 and no address stay as they are."""
    host, colon, port = first.rpartition(":")
    return f"{host}{colon}{int(port) + SERVICE_NAMES.index(service)}" if int(port or 0) else first


class Settings(Section):
    """All settings of one installation."""

    data_dir: Path = Path("imaging-data")
    """Each service keeps its files in a folder of its own name below."""

    drain_seconds: float = Field(20.0, gt=0)
    """A service that is asked to end lets running work go on for so long, then breaks it off."""

    storage: StorageSettings = StorageSettings()
    processing: ProcessingSettings = ProcessingSettings()
    analysis: AnalysisSettings = AnalysisSettings()
    reporting: ReportingSettings = ReportingSettings()
    pipeline: PipelineSettings = PipelineSettings()
    gateway: GatewaySettings = GatewaySettings()
    front: FrontSettings = FrontSettings()
    database: DatabaseSettings = DatabaseSettings()
    security: SecuritySettings = SecuritySettings()
    telemetry: TelemetrySettings = TelemetrySettings()

    def address(self, service: ServiceName) -> str:
        """`host:port` of a service; several with commas between where it has replicas."""
        section: StorageSettings = getattr(self, service)
        return section.address

    def door(self, door: DoorName) -> str:
        """`host:port` of a door of the gateway."""
        address: str = getattr(self.gateway, f"{door}_address")
        return address

    def metrics_address(self, service: ServiceName) -> str:
        """`host:port` where a service serves its metrics; empty if it does not."""
        return _in_a_row(self.telemetry.metrics_address, service)

    def health_address(self, service: ServiceName) -> str:
        """`host:port` where a service serves its health alone; empty if it does not."""
        return _in_a_row(self.telemetry.health_address, service)

    def listen(self, service: ServiceName) -> ListenSettings:
        """How a service listens.

        Raises
        ------
        SettingsInvalid
            The address is not loopback, and neither TLS with a token nor `security.insecure` is set; or the files of
            `security` cannot be used.
        """
        address = self.address(service)
        self._check_safe(address, f"{service}.address")
        return ListenSettings(
            address,
            self.security.certificate_file,
            self.security.key_file,
            self._token(),
            self.health_address(service),
        )

    def listen_http(self) -> ListenSettings:
        """How the gateway listens for HTTP; under the same rules as a service.

        Raises
        ------
        SettingsInvalid
            As `listen`.
        """
        self._check_safe(self.gateway.http_address, "gateway.http_address")
        security = self.security
        return ListenSettings(self.gateway.http_address, security.certificate_file, security.key_file, self._token())

    def check_front(self) -> None:
        """Pass if the one port in front of the services may listen where it is set to; as `listen`, with its own files.

        Raises
        ------
        SettingsInvalid
            As `listen`; or it is to listen nowhere.
        """
        if not self.front.address:
            raise SettingsInvalid(
                "There is no one port: its address is empty",
                where="front.address",
                hint="Set it to HOST:PORT, such as 127.0.0.1:50059.",
            )
        own = {"certificate_file": self.front.certificate_file, "key_file": self.front.key_file}
        security = self.security.model_copy(update={name: file for name, file in own.items() if file is not None})
        self.model_copy(update={"security": security})._check_safe(self.front.address, "front.address")

    def channel(self) -> ChannelSettings:
        """How clients of this installation reach its services.

        Raises
        ------
        SettingsInvalid
            The files of `security` cannot be used, or the servers have TLS and the clients nothing to trust.
        """
        security = self.security
        if security.ca_file is not None:
            check_trusted_certificates(security.ca_file)
        elif security.certificate_file is not None:
            raise SettingsInvalid(
                "The servers have a certificate, and their clients trust none",
                where="security.ca_file",
                hint="Set it to the certificates of the authority that signed; for a self-signed certificate, itself.",
            )
        return ChannelSettings(
            security.ca_file, self._token(), security.server_name, token_in_plain_text=security.insecure
        )

    def _check_safe(self, address: str, where: str) -> None:
        security = self.security
        if "," in address:
            raise SettingsInvalid(
                f"{address} are addresses of several replicas, and this process listens on one",
                where=where,
                hint="Name its own: `imaging serve SERVICE --address HOST:PORT`; `imaging up` runs one of each.",
            )
        if (security.certificate_file is None) != (security.key_file is None):
            given, missing = ("key", "certificate") if security.certificate_file is None else ("certificate", "key")
            raise SettingsInvalid(
                f"A {given} without its {missing} gives no TLS",
                where=f"security.{missing}_file",
                hint=f"Set security.{missing}_file too, or leave both out.",
            )
        secured = security.certificate_file and security.token_file
        if not (is_loopback(address) or secured or security.insecure):
            raise SettingsInvalid(
                f"{address} can be reached from other machines without TLS and credentials",
                where=where,
                hint="Set security.certificate_file, key_file, token_file and, for the clients, ca_file; or listen on"
                " 127.0.0.1; or start with --insecure behind a proxy that does both.",
            )
        if security.certificate_file is not None and security.key_file is not None:
            check_server_certificate(security.certificate_file, security.key_file)

    def _token(self) -> str:
        return read_token(self.security.token_file) if self.security.token_file is not None else ""
