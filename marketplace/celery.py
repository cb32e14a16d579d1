"""The Celery application: workers run what requests leave to be done, beat runs the sweepers."""

import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "marketplace.settings")

app = Celery("spotyard")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
