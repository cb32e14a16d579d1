"""The held requests of agents, on an event loop: ``gunicorn -k asgi marketplace.asgi``."""

import os

from django.core.asgi import get_asgi_application

from hosting.api.body_limit import body_limited

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "marketplace.settings")

application = body_limited(get_asgi_application())
