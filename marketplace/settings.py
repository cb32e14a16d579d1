"""All settings, with those about money in settings_money. Everything that differs between installations is read from
the environment."""

from pathlib import Path
from typing import Any

import structlog
from csp.constants import NONCE, NONE, SELF
from django.core.exceptions import ImproperlyConfigured
from django.templatetags.static import static

from billing.schedule import BEAT_SCHEDULE as BILLING_SCHEDULE
from hosting.schedule import BEAT_SCHEDULE as HOSTING_SCHEDULE
from marketplace.environment import DEBUG, DEMO, TESTING, derived_key, env, is_fernet_key, is_http_url, read
from marketplace.held import MIDDLEWARE as HELD_MIDDLEWARE
from marketplace.schedule import BEAT_SCHEDULE as MARKETPLACE_SCHEDULE
from marketplace.settings_jupyter import *  # noqa: F403  # likewise
from marketplace.settings_money import *  # noqa: F403  # each of its names is a setting
from marketplace.settings_money import STRIPE_PAGE_ORIGINS
from marketplace.settings_relay import *  # noqa: F403  # likewise

BASE_DIR = Path(__file__).resolve().parent.parent
SECRET_KEY = read("SECRET_KEY", env.str, "insecure-development-key" if DEBUG or DEMO or TESTING else "")
if not SECRET_KEY:
    raise ImproperlyConfigured("SECRET_KEY must be set to a long random string")
FIELD_ENCRYPTION_KEYS = read("FIELD_ENCRYPTION_KEYS", env.list, [])
"""Fernet keys, the newest first, with which clients' logins to registries are encrypted in the database. To change the
key put a new one in front and run ``manage.py reseal_logins``; then the old one may go."""
if not FIELD_ENCRYPTION_KEYS and (DEBUG or DEMO or TESTING):
    FIELD_ENCRYPTION_KEYS = [derived_key(SECRET_KEY)]
if not FIELD_ENCRYPTION_KEYS or not all(map(is_fernet_key, FIELD_ENCRYPTION_KEYS)):
    raise ImproperlyConfigured(
        "FIELD_ENCRYPTION_KEYS must be set to one or more keys, separated by commas, each 32 random bytes in base64: "
        "openssl rand -base64 32 | tr +/ -_"
    )

SITE_NAME = "Spotyard"
SITE_URL = read(
    "SITE_URL", env.str, "http://127.0.0.1:8000", check=is_http_url, wants="an http:// or https:// URL"
).rstrip("/")
AGENT_URL = read("AGENT_URL", env.str, SITE_URL, check=is_http_url, wants="an http:// or https:// URL").rstrip("/")
"""Where agents send their syncs: the process that can hold many requests open."""
SYNC_HOLD_MAX_SECONDS = read(
    "SYNC_HOLD_MAX_SECONDS", env.float, 0.0, check=lambda v: 0 <= v <= 60, wants="between 0 and 60"
)
"""How long this process may hold an agent's request; 0 answers at once (the process that serves pages)."""
MACHINE_OFFLINE_AFTER_SECONDS = read(
    "MACHINE_OFFLINE_AFTER_SECONDS", env.float, 60.0, check=lambda v: v >= 5, wants="5 or more"
)

TRUSTED_PROXY_COUNT = read("TRUSTED_PROXY_COUNT", env.int, 0, check=lambda v: 0 <= v <= 5, wants="between 0 and 5")
"""Reverse proxies in front of us whose X-Forwarded-For is believed."""

ALLOWED_HOSTS = read("ALLOWED_HOSTS", env.list, ["localhost", "127.0.0.1", "[::1]"])
CSRF_TRUSTED_ORIGINS = read("CSRF_TRUSTED_ORIGINS", env.list, [SITE_URL])
if SITE_URL.startswith("https://"):
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = True
    SECURE_HSTS_SECONDS = 31_536_000

INSTALLED_APPS = [
    "marketplace.apps.MarketplaceConfig",
    "hosting.apps.HostingConfig",
    "billing.apps.BillingConfig",
    "unfold",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.humanize",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "django_filters",
    "django_htmx",
    "allauth",
    "allauth.account",
    "allauth.mfa",
    "hijack",
    "waffle",
    "csp",
    "django_structlog",
]

MIDDLEWARE = [
    "marketplace.api.middleware.QueryKeyMiddleware",  # before anything that logs addresses
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "hijack.middleware.HijackUserMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "django_structlog.middlewares.RequestMiddleware",
    "marketplace.web.acting.ActingMiddleware",
    "marketplace.web.impersonation.ImpersonationMiddleware",
    "marketplace.web.suspension.SuspensionMiddleware",
    "marketplace.web.middleware.PageMiddleware",
]

if SYNC_HOLD_MAX_SECONDS:
    MIDDLEWARE = HELD_MIDDLEWARE

ROOT_URLCONF = "marketplace.urls"
WSGI_APPLICATION = "marketplace.wsgi.application"
ASGI_APPLICATION = "marketplace.asgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "marketplace.web.context.site",
            ],
        },
    },
]

DATABASES = {"default": read("DATABASE_URL", env.db_url, "postgresql://spotyard:spotyard@127.0.0.1:5432/spotyard")}
if "postgresql" not in DATABASES["default"].get("ENGINE", ""):
    raise ImproperlyConfigured("DATABASE_URL must be a postgresql:// URL: the ledger and the locks need PostgreSQL")
DATABASES["default"]["CONN_MAX_AGE"] = read("DATABASE_CONN_MAX_AGE_SECONDS", env.int, 60)
DATABASES["default"]["CONN_HEALTH_CHECKS"] = True

REDIS_URL = read(
    "REDIS_URL",
    env.str,
    "redis://127.0.0.1:6379/0",
    check=lambda v: v.startswith(("redis://", "rediss://", "unix://")),
    wants="a redis://, rediss:// or unix:// URL",
)
CACHES = {
    "default": {
        "BACKEND": "marketplace.cache.ForgivingRedisCache",
        "LOCATION": REDIS_URL,
        "OPTIONS": {"socket_timeout": 2, "socket_connect_timeout": 2},  # a Redis that hangs must hang no page
    }
}

CELERY_BROKER_URL = REDIS_URL.replace("unix://", "redis+socket://")
CELERY_TASK_IGNORE_RESULT = True
# Who runs is decided within a second whatever else there is to do: the auction has a worker of its own.
CELERY_TASK_ROUTES = {"marketplace.tasks.clear_dirty_machines": {"queue": "clearing"}}
CELERY_TASK_ACKS_LATE = True
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_TIMEZONE = "UTC"
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BEAT_SCHEDULE: dict[str, dict[str, Any]] = {
    **BILLING_SCHEDULE,
    **HOSTING_SCHEDULE,
    **MARKETPLACE_SCHEDULE,
}

AUTH_USER_MODEL = "marketplace.User"
AUTHENTICATION_BACKENDS = [
    "django.contrib.auth.backends.ModelBackend",
    "allauth.account.auth_backends.AuthenticationBackend",
]
PASSWORD_HASHERS = [
    "django.contrib.auth.hashers.Argon2PasswordHasher",
    "django.contrib.auth.hashers.PBKDF2PasswordHasher",
]
if TESTING:
    PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]  # tests create hundreds of accounts
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 10}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.NumericPasswordValidator"},
]
ALLAUTH_TRUSTED_PROXY_COUNT = TRUSTED_PROXY_COUNT  # its limits count failed sign-ins by address
ACCOUNT_ADAPTER = "marketplace.adapter.AccountAdapter"
ACCOUNT_USER_MODEL_USERNAME_FIELD = None
ACCOUNT_LOGIN_METHODS = {"email"}
ACCOUNT_SIGNUP_FIELDS = ["email*", "password1*", "password2*"]
ACCOUNT_EMAIL_VERIFICATION = "mandatory"
ACCOUNT_CONFIRM_EMAIL_ON_GET = False
ACCOUNT_DEFAULT_HTTP_PROTOCOL = "https" if SITE_URL.startswith("https://") else "http"
ACCOUNT_EMAIL_SUBJECT_PREFIX = "[Spotyard] "
LOGIN_URL = "account_login"
LOGIN_REDIRECT_URL = "search"
ACCOUNT_LOGOUT_REDIRECT_URL = "search"

EMAIL_CONFIG = read("EMAIL_URL", env.email_url, "consolemail://")
globals().update(EMAIL_CONFIG)
EMAIL_TIMEOUT = read("EMAIL_TIMEOUT_SECONDS", env.int, 10, check=lambda v: 1 <= v <= 60, wants="between 1 and 60")
"""How long a mail server may keep us waiting."""
DEFAULT_FROM_EMAIL = read("DEFAULT_FROM_EMAIL", env.str, "Spotyard <no-reply@spotyard.example>")

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["marketplace.api.authentication.ApiKeyAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["marketplace.api.wire.StrictJsonParser"],
    "DEFAULT_THROTTLE_CLASSES": ["marketplace.api.throttling.PerMinuteThrottle"],
    "NUM_PROXIES": TRUSTED_PROXY_COUNT,
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "EXCEPTION_HANDLER": "marketplace.api.errors.exception_handler",
}
API_REQUESTS_PER_MINUTE = read("API_REQUESTS_PER_MINUTE", env.int, 1200, check=lambda v: v >= 1, wants="1 or more")
"""How many API requests an account may send in a minute."""
AGENT_WRONG_CREDENTIALS_PER_MINUTE = read(
    "AGENT_WRONG_CREDENTIALS_PER_MINUTE", env.int, 60, check=lambda v: v >= 1, wants="1 or more"
)
"""How many credentials and tokens a network may show at the agents' endpoints in a minute that are not valid."""
API_ANONYMOUS_REQUESTS_PER_MINUTE = read(
    "API_ANONYMOUS_REQUESTS_PER_MINUTE", env.int, 600, check=lambda v: v >= 1, wants="1 or more"
)
"""How many an address may send without a key."""

SPECTACULAR_SETTINGS = {
    "PREPROCESSING_HOOKS": ["marketplace.api.schema.without_slash_twins"],
    "TITLE": "Spotyard API",
    "DESCRIPTION": "Search offers, rent GPUs, manage instances and machines.",
    "VERSION": "0",
    "SERVE_INCLUDE_SCHEMA": False,
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
}

CONTENT_SECURITY_POLICY: dict[str, Any] = {
    "DIRECTIVES": {
        "default-src": [SELF],
        "script-src": [SELF, NONCE],
        "style-src": [SELF, "'unsafe-inline'"],
        "img-src": [SELF, "data:"],
        "font-src": [SELF, "data:"],
        "frame-ancestors": [NONE],
        "form-action": [SELF],
        "base-uri": [SELF],
    },
    # The vendored admin uses inline scripts that we do not control.
    "EXCLUDE_URL_PREFIXES": ["/admin/"],
}
CONTENT_SECURITY_POLICY["DIRECTIVES"]["form-action"] = [SELF, *STRIPE_PAGE_ORIGINS]

LANGUAGE_CODE = "en-us"
TIME_ZONE = "UTC"
USE_I18N = False
USE_TZ = True

STATIC_URL = "static/"
STATIC_ROOT = Path(read("STATIC_ROOT", env.str, str(BASE_DIR / "staticfiles")))
STATICFILES_DIRS = [BASE_DIR / "static"]
STATIC_COMPRESSED = read("STATIC_COMPRESSED", env.bool, not DEMO)
"""Whether collectstatic also writes Brotli and gzip files: half a minute of work that pays on slow networks only."""
WHITENOISE_SKIP_COMPRESS_EXTENSIONS = ("gz", "br", "png", "jpg", "webp", "woff", "woff2", "map")


def _static_storage() -> str:
    if DEBUG or TESTING:
        return "django.contrib.staticfiles.storage.StaticFilesStorage"
    if STATIC_COMPRESSED:
        return "whitenoise.storage.CompressedManifestStaticFilesStorage"
    return "django.contrib.staticfiles.storage.ManifestStaticFilesStorage"


STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": _static_storage()},
}
SILENCED_SYSTEM_CHECKS = [
    "security.W005",  # HSTS for subdomains and preloading are for the domain's owner to promise, not for us
    "security.W021",
    "security.W008",  # the reverse proxy that ends TLS redirects plain HTTP
]

LOG_LEVEL = read(
    "LOG_LEVEL",
    env.str,
    "INFO",
    check=lambda v: v in {"DEBUG", "INFO", "WARNING", "ERROR"},
    wants="a log level",
)
_LOG_STEPS: list[Any] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_logger_name,
    structlog.stdlib.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    structlog.processors.StackInfoRenderer(),
    structlog.processors.format_exc_info,
]
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "line": {
            "()": structlog.stdlib.ProcessorFormatter,
            "foreign_pre_chain": _LOG_STEPS,
            "processors": [
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.dev.ConsoleRenderer(colors=False, pad_event_to=0, pad_level=False),
            ],
        }
    },
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["console"], "level": LOG_LEVEL},
    # One line for each request that went wrong; those that went well are the proxy's to log.
    "loggers": {
        "django_structlog": {"level": "WARNING"},
        "django.request": {"level": "ERROR"},
        "fontTools": {"level": "WARNING"},  # at INFO it tells every glyph of every PDF
        "stripe": {"level": "WARNING"},
    },
}
structlog.configure(
    processors=[
        structlog.stdlib.filter_by_level,
        *_LOG_STEPS,
        structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
    ],
    logger_factory=structlog.stdlib.LoggerFactory(),
    cache_logger_on_first_use=True,
)

UNFOLD = {
    "SITE_TITLE": "Spotyard admin",
    "SITE_HEADER": "Spotyard",
    "SITE_URL": "/",
    "SITE_FAVICONS": [{"rel": "icon", "type": "image/svg+xml", "href": lambda _request: static("img/logo.svg")}],
    "DASHBOARD_CALLBACK": "marketplace.web.admin_front.dashboard",
}

HIJACK_PERMISSION_CHECK = "marketplace.web.impersonation.may_impersonate"
HIJACK_INSERT_BEFORE = None  # our own banner says it

METRICS_TOKEN = read(
    "METRICS_TOKEN", env.str, "", check=lambda v: not v or len(v) >= 16, wants="at least 16 characters"
)
"""Who sends it as a bearer token may read /metrics; without one only staff may."""

BID_INCREMENT_BPS = read(
    "BID_INCREMENT_BPS", env.int, 500, check=lambda v: 0 <= v <= 10_000, wants="between 0 and 10000"
)
"""What a bid must add to a running one to displace it, in hundredths of a percent: cents must not thrash containers."""

DISPLACEMENT_GRACE_SECONDS = read(
    "DISPLACEMENT_GRACE_SECONDS", env.int, 30, check=lambda v: 0 <= v <= 600, wants="between 0 and 600"
)
"""From the SIGTERM to the kill of a container that lost its GPUs."""

DLPERF_IMAGE = read("DLPERF_IMAGE", env.str, "")
"""Container image with the programs that machines run (dlperf/workload/Dockerfile); empty measures none. With
``{cuda}`` in it, it is one for each build of torch (hosting/domain/torch_builds.py)."""
VERIFICATION_SHADOW = read("VERIFICATION_SHADOW", env.list, ["measured_otherwise", "same_hardware"])
"""Findings of verification that are recorded but have no consequences, by their codes (hosting/domain/verification.py,
hosting/domain/contradictions.py): checks that are being tried out."""
GUEST_TOOLS_DIR = read("GUEST_TOOLS_DIR", env.str, str(BASE_DIR / "var" / "cache"))
AGENT_SOURCE = read(
    "AGENT_SOURCE",
    env.str,
    str(BASE_DIR),
    check=lambda v: (Path(v) / "agent" / "__init__.py").is_file(),
    wants="a checkout with the folder agent in it",
)
"""Of which the agent that hosts' machines run is made."""
DLPERF_ENDPOINT = read(
    "DLPERF_ENDPOINT", env.str, "", check=lambda v: not v or is_http_url(v), wants="an http:// or https:// URL"
)
"""Where benchmarks measure a machine's network to; empty means the process that agents talk to. Simulated machines are
measured only to what is named here: the demo's containers can't reach the computer that they run on."""

WEBHOOK_ALLOW_PRIVATE = read("WEBHOOK_ALLOW_PRIVATE", env.bool, DEMO)
"""Whether webhooks may go to this machine and to private networks. Never where strangers have accounts."""
WEBHOOK_ALLOW_HTTP = DEBUG or DEMO or TESTING
"""Whether webhooks may go over plain HTTP."""

SUGGESTED_IMAGES = read(
    "SUGGESTED_IMAGES",
    env.list,
    [
        *(["spotyard/demo:2"] if DEMO else []),
        "pytorch/pytorch:latest",
        "nvidia/cuda:12.4.1-devel-ubuntu22.04",
        "ubuntu:22.04",
    ],
    check=bool,
    wants="at least one image name, separated by commas",
)
"""Images that the rent dialog proposes; the first one is filled in. The demo's own image needs no registry."""
