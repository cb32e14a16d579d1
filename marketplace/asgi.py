"""The held requests of agents, on an event loop: ``gunicorn -k asgi marketplace.asgi``."""

import os

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "marketplace.settings")

application = get_asgi_application()
