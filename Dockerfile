# The server: web, held requests, workers and beat are the same image with different commands (docker-compose.yml).
# The host agent is not in it: it runs on hosts, from agent/ alone.
FROM python:3.11-slim-bookworm AS guest-tools

# What agents lend to containers, made of Debian packages; of this image's architecture. For machines of another one,
# put the file that it makes there beside it, and name the folder in GUEST_TOOLS_DIR.
WORKDIR /build
COPY scripts scripts
RUN apt-get update && python -m scripts.guest_tools /guest-tools

FROM python:3.11-slim-bookworm

ENV PYTHONUNBUFFERED=1 \
    PIP_NO_CACHE_DIR=1 \
    STATIC_ROOT=/srv/spotyard/static \
    GUEST_TOOLS_DIR=/srv/spotyard/guest-tools

WORKDIR /srv/spotyard/app

# Requirements first: they change less often than the code, so their layer is built less often.
COPY requirements.txt ./
COPY agent/requirements.txt agent/
RUN pip install -r requirements.txt

COPY manage.py LICENSE ./
COPY agent agent
COPY billing billing
COPY dlperf dlperf
COPY hosting hosting
COPY marketplace marketplace
COPY templates templates
COPY static static
COPY --from=guest-tools /guest-tools/*.tar.gz ../guest-tools/

# Collecting static files needs settings that load, not real ones. The keys protect nothing and stay in this layer.
# Bytecode is made here, since the processes' user can't write it: each would compile everything when it starts.
RUN SECRET_KEY=only-to-collect-static-files FIELD_ENCRYPTION_KEYS=b25seS1mb3ItbWFrZS1jaGVjay1uZXZlci11c2VkLTA= \
    python manage.py collectstatic --noinput --verbosity=0 \
    && python -m compileall -q agent billing dlperf hosting marketplace \
    && useradd --system --no-create-home --uid 10001 spotyard \
    && install --directory --mode=700 --owner=spotyard /srv/spotyard/relay

USER spotyard
EXPOSE 8000
CMD ["gunicorn", "marketplace.wsgi", "--bind=0.0.0.0:8000", "--worker-class=gthread", "--workers=4", "--threads=8", "--no-control-socket", "--access-logfile=-"]
