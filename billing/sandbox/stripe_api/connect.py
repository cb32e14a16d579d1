"""Connected accounts: Express accounts, their onboarding, transfers to them and payouts to their banks."""

from stripe.params import (
    AccountCreateParams,
    AccountLinkCreateParams,
    AccountRetrieveParams,
    PayoutCreateParams,
    PayoutRetrieveParams,
    TransferCreateParams,
    TransferCreateReversalParams,
    TransferListParams,
    TransferRetrieveParams,
)

from billing.sandbox.store import Object
from billing.sandbox.stripe_api.calls import Call, new_id, page, route
from billing.sandbox.stripe_api.charges import transaction_make
from billing.sandbox.stripe_api.errors import StripeError, invalid, missing

BANKS = {
    "000123456789": "",
    "000111111116": "no_account",
    "000111111113": "account_closed",
}
"""Stripe's test numbers of bank accounts, with what becomes of payouts to them."""
_MESSAGES = {
    "no_account": "The bank account details provided are incorrect: no such account.",
    "account_closed": "The bank account has been closed.",
}
LINK_SECONDS = 300
LARGEST_CENTS = 99_999_999


@route("POST", "/v1/accounts", AccountCreateParams)
def account_create(call: Call) -> Object:
    params = call.params
    if params.get("type") != "express":
        raise invalid("Only express accounts are known here.", param="type")
    account: Object = {
        "id": new_id("acct"),
        "object": "account",
        "capabilities": dict.fromkeys(params.get("capabilities", {}), "inactive"),
        "charges_enabled": False,
        "country": params.get("country", "US"),
        "created": call.now,
        "default_currency": "usd",
        "details_submitted": False,
        "email": params.get("email"),
        "external_accounts": {"object": "list", "data": [], "has_more": False},
        "metadata": params.get("metadata", {}),
        "payouts_enabled": False,
        "requirements": {"currently_due": ["external_account", "individual.id_number"], "disabled_reason": None},
        "settings": {"payouts": {"schedule": {"interval": _interval(params)}}},
        "type": "express",
        "_available": 0,
    }
    return call.store.put(account)


@route("GET", "/v1/accounts/<account_id>", AccountRetrieveParams)
def account_retrieve(call: Call, account_id: str) -> Object:
    return call.find("account", account_id)


@route("POST", "/v1/account_links", AccountLinkCreateParams)
def account_link_create(call: Call) -> Object:
    params = call.params
    call.find("account", params["account"], "account")
    for name in ("refresh_url", "return_url"):
        if not params.get(name, "").startswith(("http://", "https://")):
            raise invalid(f"Not a valid URL: {params.get(name)}", param=name, code="url_invalid")
    link_id = new_id("link")
    link: Object = {
        "id": link_id,
        "object": "account_link",
        "created": call.now,
        "expires_at": call.now + LINK_SECONDS,
        "url": f"{call.base_url}/setup/e/{link_id}",
        "_account": params["account"],
        "_refresh_url": params["refresh_url"],
        "_return_url": params["return_url"],
        "_used": False,
    }
    return call.store.put(link)


@route("POST", "/v1/transfers", TransferCreateParams)
def transfer_create(call: Call) -> Object:
    params = call.params
    amount = _amount(params)
    account = call.find("account", params["destination"], "destination")
    if account["capabilities"].get("transfers") != "active":
        message = "Your destination account needs to have at least one of the following capabilities enabled: transfers"
        raise invalid(message, param="destination", code="insufficient_capabilities_for_transfer")
    _take_from_platform(call, amount)
    transfer_id = new_id("tr")
    transfer: Object = {
        "id": transfer_id,
        "object": "transfer",
        "amount": amount,
        "amount_reversed": 0,
        "balance_transaction": transaction_make(call, "transfer", transfer_id, -amount)["id"],
        "created": call.now,
        "currency": "usd",
        "description": params.get("description"),
        "destination": account["id"],
        "livemode": False,
        "metadata": params.get("metadata", {}),
        "reversed": False,
        "transfer_group": params.get("transfer_group"),
    }
    call.store.put(account | {"_available": account["_available"] + amount})
    call.emit("transfer.created", call.store.put(transfer))
    return transfer


@route("GET", "/v1/transfers", TransferListParams)
def transfer_list(call: Call) -> Object:
    wanted = {name: call.params[name] for name in ("destination", "transfer_group") if name in call.params}
    rows = [row for row in call.store.newest("transfer") if all(row[n] == v for n, v in wanted.items())]
    return page(call, rows, "/v1/transfers")


@route("GET", "/v1/transfers/<transfer_id>", TransferRetrieveParams)
def transfer_retrieve(call: Call, transfer_id: str) -> Object:
    return call.find("transfer", transfer_id)


@route("POST", "/v1/transfers/<transfer_id>/reversals", TransferCreateReversalParams)
def transfer_reverse(call: Call, transfer_id: str) -> Object:
    transfer = call.find("transfer", transfer_id)
    left = transfer["amount"] - transfer["amount_reversed"]
    amount = call.params.get("amount", left)
    if not 0 < amount <= left:
        raise invalid("There is not as much left of the transfer to reverse.", param="amount")
    account = call.find("account", transfer["destination"])
    if account["_available"] < amount:
        message = "The destination account does not have sufficient funds to cover the reversal."
        raise StripeError(400, "invalid_request_error", message, kept=True, code="balance_insufficient")
    call.store.put(account | {"_available": account["_available"] - amount})
    call.store.note_set("platform_cents", _with(call.store.note("platform_cents"), amount))
    reversal_id = new_id("trr")
    reversal: Object = {
        "id": reversal_id,
        "object": "transfer_reversal",
        "amount": amount,
        "balance_transaction": transaction_make(call, "transfer_refund", reversal_id, amount)["id"],
        "created": call.now,
        "currency": "usd",
        "metadata": call.params.get("metadata", {}),
        "transfer": transfer_id,
    }
    reversed_cents = transfer["amount_reversed"] + amount
    transfer |= {"amount_reversed": reversed_cents, "reversed": reversed_cents == transfer["amount"]}
    call.emit("transfer.reversed", call.store.put(transfer))
    return call.store.put(reversal)


@route("POST", "/v1/payouts", PayoutCreateParams)
def payout_create(call: Call) -> Object:
    """To the bank of the connected account in whose name the call is made; what becomes of it is told by an event."""
    amount = _amount(call.params)
    account = call.find("account", call.account or "", "Stripe-Account")
    banks = account["external_accounts"]["data"]
    if not account["payouts_enabled"] or not banks:
        raise invalid("Sorry, you don't have any external accounts in that currency (usd).", code="no_account")
    if account["_available"] < amount:
        message = "You have insufficient funds in your Stripe account for this transfer."
        raise StripeError(400, "invalid_request_error", message, kept=True, code="balance_insufficient")
    call.store.put(account | {"_available": account["_available"] - amount})
    payout: Object = {
        "id": new_id("po"),
        "object": "payout",
        "amount": amount,
        "arrival_date": call.now,
        "automatic": False,
        "created": call.now,
        "currency": "usd",
        "description": call.params.get("description"),
        "destination": banks[0]["id"],
        "failure_code": None,
        "failure_message": None,
        "livemode": False,
        "metadata": call.params.get("metadata", {}),
        "method": "standard",
        "status": "pending",
        "type": "bank_account",
        "_account": account["id"],
    }
    call.store.put(payout)
    if call.store.note("banks_are_quick", default=True):
        payout_end(call, dict(payout), BANKS[banks[0]["_number"]])
    return payout


@route("GET", "/v1/payouts/<payout_id>", PayoutRetrieveParams)
def payout_retrieve(call: Call, payout_id: str) -> Object:
    payout = call.find("payout", payout_id)
    if payout["_account"] != call.account:
        raise missing("payout", payout_id, "payout")
    return payout


def payout_end(call: Call, payout: Object, failure_code: str) -> Object:
    """The bank has the money; or has sent it back, when there is a code."""
    payout["status"] = "failed" if failure_code else "paid"
    if failure_code:
        payout |= {"failure_code": failure_code, "failure_message": _MESSAGES.get(failure_code, failure_code)}
        account = call.find("account", payout["_account"])
        call.store.put(account | {"_available": account["_available"] + payout["amount"]})
    call.emit(f"payout.{payout['status']}", call.store.put(payout), payout["_account"])
    return payout


def account_complete(call: Call, account: Object, number: str) -> Object:
    """The owner has said all that was asked, and named a bank account."""
    bank: Object = {
        "id": new_id("ba"),
        "object": "bank_account",
        "account": account["id"],
        "bank_name": "STRIPE TEST BANK",
        "country": "US",
        "currency": "usd",
        "last4": number[-4:],
        "routing_number": "110000000",
        "status": "new",
        "_number": number,
    }
    account |= {
        "capabilities": dict.fromkeys(account["capabilities"], "active"),
        "details_submitted": True,
        "external_accounts": {"object": "list", "data": [bank], "has_more": False},
        "payouts_enabled": True,
        "requirements": {"currently_due": [], "disabled_reason": None},
    }
    call.emit("account.updated", call.store.put(account), account["id"])
    return account


def account_restrict(call: Call, account: Object, reason: str) -> Object:
    """Stripe wants to know more before it pays out again."""
    account |= {
        "capabilities": dict.fromkeys(account["capabilities"], "inactive"),
        "payouts_enabled": False,
        "requirements": {"currently_due": ["individual.verification.document"], "disabled_reason": reason},
    }
    call.emit("account.updated", call.store.put(account), account["id"])
    return account


def _amount(params: Object) -> int:
    amount = int(params.get("amount", 0))
    if not 1 <= amount <= LARGEST_CENTS:
        raise invalid(
            "This value must be greater than or equal to 1.", param="amount", code="parameter_invalid_integer"
        )
    if params["currency"] != "usd":
        raise invalid("Only usd is known here.", param="currency")
    return amount


def _take_from_platform(call: Call, amount: int) -> None:
    """The platform's balance is unlimited until a test says how much there is."""
    left = call.store.note("platform_cents")
    if left is not None and left < amount:
        message = "You have insufficient available funds in your Stripe account."
        raise StripeError(400, "invalid_request_error", message, kept=True, code="balance_insufficient")
    call.store.note_set("platform_cents", _with(left, -amount))


def _with(left: int | None, amount: int) -> int | None:
    return None if left is None else left + amount


def _interval(params: Object) -> str:
    schedule = params.get("settings", {}).get("payouts", {}).get("schedule", {})
    return str(schedule.get("interval", "daily"))
