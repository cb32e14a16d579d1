"""Addresses of the public API, as the command-line client sends them; each works with and without its last slash."""

from typing import Any

from django.urls import URLPattern, path, re_path, register_converter
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView
from rest_framework.permissions import AllowAny

from marketplace.api import (
    account,
    copies,
    histories,
    instance_keys,
    instances,
    keys,
    machine_maintenance,
    machine_reports,
    machines,
    money,
    moves,
    offers,
    results,
    room,
    templates,
    url_copies,
    volumes,
)
from marketplace.api.views import UnknownView


class IdConverter:
    """Numbers that fit the database's ids; any other is an unknown address."""

    regex = "[0-9]{1,18}"

    def to_python(self, value: str) -> int:
        return int(value)

    def to_url(self, value: int) -> str:
        return str(value)


register_converter(IdConverter, "id")


def _both(route: str, view: Any) -> list[URLPattern]:
    """The route as it is written, and with its last slash added or removed."""
    twin = route.removesuffix("/") if route.endswith("/") else f"{route}/"
    return [path(route, view.as_view()), path(twin, view.as_view())]


urlpatterns = [
    *_both("v0/bundles/", offers.Bundles),
    *_both("v0/search/asks/", offers.SearchAsks),
    *_both("v0/asks/<id:offer_id>/", offers.Ask),
    *_both("v0/gpu_names/unique/", offers.GpuNames),
    *_both("v0/gpu_types/", offers.GpuTypes),
    *_both("v1/instances/", instances.InstancePages),
    *_both("v0/instances/", instances.Instances),
    *_both("v0/instances/filters/", instances.InstanceFilters),
    *_both("v0/instances/balance/<id:instance_id>/", money.InstanceBalance),
    *_both("v0/instances/bid_price/<id:instance_id>/", instances.InstanceBid),
    *_both("v0/instances/reboot/<id:instance_id>/", instances.InstanceReboot),
    *_both("v0/instances/request_logs/<id:instance_id>/", results.RequestLogs),
    *_both("v0/instances/command/<id:instance_id>/", results.RunCommand),
    path("v0/results/<str:ticket>/", results.Result.as_view(), name="result"),
    *_both("v0/instances/<id:instance_id>/history/", histories.InstanceHistory),
    *_both("v0/instances/<id:instance_id>/", instances.InstanceDetail),
    *_both("v0/instances/move/<id:instance_id>/", moves.InstanceMove),
    *_both("v0/instances/copy_url/<id:instance_id>/", url_copies.UrlCopies),
    *_both("v0/instances/<id:instance_id>/ssh/", instance_keys.InstanceKeys),
    *_both("v0/instances/<id:instance_id>/ssh/<id:key_id>/", instance_keys.InstanceKeyDetail),
    *_both("v0/template/", templates.Templates),
    *_both("v1/template/", templates.TemplateUpdate),
    *_both("v0/ssh/", keys.SshKeys),
    *_both("v0/ssh/<id:key_id>/", keys.SshKeyDetail),
    *_both("v0/auth/apikeys/", keys.ApiKeys),
    *_both("v0/auth/apikeys/<id:key_id>/", keys.ApiKeyDetail),
    *_both("v0/users/", account.Account),
    *_both("v0/users/current", account.CurrentUser),
    *_both("v0/users/me/invoices", money.MyInvoices),
    *_both("v0/users/me/machine-earnings", money.MachineEarnings),
    *_both("v1/invoices/", money.InvoicePages),
    *_both("v0/charges/", money.Charges),
    *_both("v0/commands/copy_direct/", copies.CopyDirect),
    *_both("v0/commands/rsync/", copies.CopyDirect),
    *_both("v0/commands/transfer_credit/", money.TransferCredit),
    *_both("v0/contracts/fetch/", money.Contracts),
    *_both("v0/machines", machines.Machines),
    *_both("v0/machines/install_tokens/", machines.InstallTokens),
    *_both("v0/machines/maintenances", machine_maintenance.Maintenances),
    *_both("v0/machines/<id:machine_id>/dnotify/", machine_maintenance.MachineMaintenance),
    *_both("v0/machines/<id:machine_id>/cancel_maint/", machine_maintenance.MachineMaintenanceCancel),
    *_both("v0/machines/create_asks/", machines.CreateAsks),
    *_both("v0/machines/create_bids/", machines.CreateBids),
    *_both("v0/machines/<id:machine_id>", machines.MachineDetail),
    *_both("v0/machines/<id:machine_id>/reports/", machine_reports.MachineReports),
    *_both("v0/machines/<id:machine_id>/force_delete/", machines.MachineRemove),
    *_both("v0/machines/<id:machine_id>/history/", histories.MachineHistory),
    *_both("v0/machines/<id:machine_id>/asks/", machines.MachineAsks),
    *_both("v0/machines/<id:machine_id>/defjob/", machines.MachineDefaultJob),
    *_both("v0/machines/<id:machine_id>/minbid/", machines.MachineMinBid),
    *_both("v0/machines/<id:machine_id>/cleanup/", room.MachineCleanup),
    *_both("v0/machines/defrag_offers/", room.DefragmentOffers),
    *_both("v0/volumes/", volumes.Volumes),
    *_both("v0/volumes/search/", volumes.VolumeSearch),
    path("schema/", SpectacularAPIView.as_view(permission_classes=[AllowAny]), name="api_schema"),
    path(
        "docs/",
        SpectacularSwaggerSplitView.as_view(url_name="api_schema", permission_classes=[AllowAny]),
        name="api_docs",
    ),
    re_path(r"^v[0-9]+/", UnknownView.as_view()),
]
