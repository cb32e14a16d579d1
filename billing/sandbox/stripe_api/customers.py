"""Customers and their saved cards."""

from stripe.params import (
    CustomerCreateParams,
    CustomerRetrieveParams,
    CustomerUpdateParams,
    PaymentMethodDetachParams,
    PaymentMethodListParams,
    PaymentMethodRetrieveParams,
)

from billing.sandbox.store import Object
from billing.sandbox.stripe_api.calls import Call, new_id, page, route
from billing.sandbox.stripe_api.cards import TEST_CARDS
from billing.sandbox.stripe_api.errors import invalid


@route("POST", "/v1/customers", CustomerCreateParams)
def customer_create(call: Call) -> Object:
    customer: Object = {
        "id": new_id("cus"),
        "object": "customer",
        "balance": 0,
        "created": call.now,
        "currency": None,
        "delinquent": False,
        "description": call.params.get("description"),
        "email": call.params.get("email"),
        "invoice_settings": {"default_payment_method": None},
        "livemode": False,
        "metadata": call.params.get("metadata", {}),
        "name": call.params.get("name"),
        "phone": None,
    }
    call.store.put(customer)
    call.emit("customer.created", customer)
    return customer


@route("GET", "/v1/customers/<customer_id>", CustomerRetrieveParams)
def customer_retrieve(call: Call, customer_id: str) -> Object:
    return call.find("customer", customer_id)


@route("POST", "/v1/customers/<customer_id>", CustomerUpdateParams)
def customer_update(call: Call, customer_id: str) -> Object:
    customer = call.find("customer", customer_id)
    customer |= {name: call.params[name] for name in ("description", "email", "name") if name in call.params}
    customer["metadata"] |= call.params.get("metadata", {})
    call.emit("customer.updated", call.store.put(customer))
    return customer


@route("GET", "/v1/payment_methods", PaymentMethodListParams)
def payment_method_list(call: Call) -> Object:
    customer_id = call.params.get("customer")
    if customer_id is None:
        raise invalid("Missing required param: customer.", param="customer", code="parameter_missing")
    call.find("customer", customer_id, "customer")
    wanted = call.params.get("type")
    found = [
        row
        for row in call.store.newest("payment_method")
        if row["customer"] == customer_id and wanted in (None, row["type"])
    ]
    return page(call, found, "/v1/payment_methods")


@route("GET", "/v1/payment_methods/<method_id>", PaymentMethodRetrieveParams)
def payment_method_retrieve(call: Call, method_id: str) -> Object:
    return call.find("payment_method", method_id)


@route("POST", "/v1/payment_methods/<method_id>/detach", PaymentMethodDetachParams)
def payment_method_detach(call: Call, method_id: str) -> Object:
    method = call.find("payment_method", method_id)
    if method["customer"] is None:
        raise invalid("The payment method you provided is not attached to a customer so detachment is impossible.")
    method["customer"] = None
    call.emit("payment_method.detached", call.store.put(method))
    return method


def payment_method_make(call: Call, number: str, exp_month: int, exp_year: int) -> Object:
    """A card that nobody has saved yet. Its number stays with the sandbox."""
    method: Object = {
        "id": new_id("pm"),
        "object": "payment_method",
        "billing_details": {"address": None, "email": None, "name": None, "phone": None},
        "card": {
            "brand": TEST_CARDS[number].brand,
            "country": "US",
            "exp_month": exp_month,
            "exp_year": exp_year,
            "funding": "credit",
            "last4": number[-4:],
        },
        "created": call.now,
        "customer": None,
        "livemode": False,
        "metadata": {},
        "type": "card",
        "_number": number,
        "_prepared": False,
    }
    return call.store.put(method)


def payment_method_attach(call: Call, method: Object, customer_id: str, *, prepared: bool) -> None:
    """The customer's from now on. ``prepared``: with the bank's consent to charge it in the customer's absence."""
    method |= {"customer": customer_id, "_prepared": prepared}
    call.emit("payment_method.attached", call.store.put(method))
