"""Pages about money."""

from django.urls import path

from billing.web import invoices, payout_webhooks, payouts, statements, views

urlpatterns = [
    path("billing/", views.billing, name="billing"),
    path("billing/balance/", views.balance, name="billing_balance"),
    path("billing/summary/", views.summary, name="billing_summary"),
    path("billing/statement/", views.statement, name="billing_statement"),
    path("billing/charges.csv", views.charges_csv, name="billing_charges_csv"),
    path("billing/statements/", statements.statements, name="billing_statements"),
    path("billing/statements/<str:month>.pdf", statements.statement_pdf, name="billing_month_pdf"),
    path("billing/statements/<str:month>/", statements.statement, name="billing_month"),
    path("host/payouts/", payouts.payouts, name="host_payouts"),
    path("host/payouts/method/", payouts.method, name="host_payout_method"),
    path("host/payouts/stripe/", payouts.stripe_again, name="host_payout_stripe"),
    path("host/payouts/stripe/return/", payouts.stripe_return, name="host_payout_stripe_return"),
    path("host/payouts/paypal/return/", payouts.paypal_return, name="host_payout_paypal_return"),
    path("host/invoices/<str:number>.pdf", invoices.invoice_pdf, name="host_invoice_pdf"),
    path("host/invoices/<str:number>.csv", invoices.invoice_csv, name="host_invoice_csv"),
    path("host/invoices/<str:number>/", invoices.invoice, name="host_invoice"),
    path("webhooks/stripe-connect/", payout_webhooks.stripe_connect, name="webhook_stripe_connect"),
    path("webhooks/paypal/", payout_webhooks.paypal, name="webhook_paypal"),
]
