"""Pages about money."""

from django.urls import path

from billing.web import payout_webhooks, statements, views

urlpatterns = [
    path("billing/", views.billing, name="billing"),
    path("billing/balance/", views.balance, name="billing_balance"),
    path("billing/summary/", views.summary, name="billing_summary"),
    path("billing/statement/", views.statement, name="billing_statement"),
    path("billing/charges.csv", views.charges_csv, name="billing_charges_csv"),
    path("billing/statements/", statements.statements, name="billing_statements"),
    path("billing/statements/<str:month>.pdf", statements.statement_pdf, name="billing_month_pdf"),
    path("billing/statements/<str:month>/", statements.statement, name="billing_month"),
    path("webhooks/stripe-connect/", payout_webhooks.stripe_connect, name="webhook_stripe_connect"),
    path("webhooks/paypal/", payout_webhooks.paypal, name="webhook_paypal"),
]
