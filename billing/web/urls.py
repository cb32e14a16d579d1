"""Pages about money."""

from django.urls import path

from billing.web import invoices, payment, payouts, statements, views, webhooks

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
    path("webhooks/stripe-connect/", webhooks.stripe_connect_accounts, name="webhook_stripe_connect"),
    path("webhooks/paypal/", webhooks.paypal, name="webhook_paypal"),
    path("billing/payment/", payment.payment, name="billing_payment"),
    path("billing/payment/rows/", payment.rows, name="billing_payment_rows"),
    path("billing/payment/buy/", payment.buy, name="billing_payment_buy"),
    path("billing/payment/returned/", payment.returned, name="billing_payment_returned"),
    path("billing/payment/auto/", payment.auto_billing, name="billing_auto"),
    path("billing/payment/cards/add/", payment.card_add, name="billing_card_add"),
    path("billing/payment/cards/<int:card_id>/remove/", payment.card_remove, name="billing_card_remove"),
    path("billing/payment/cards/<int:card_id>/default/", payment.card_default, name="billing_card_default"),
    path("billing/payment/<int:payment_id>/confirm/", payment.confirm, name="billing_payment_confirm"),
    path("webhooks/stripe/", webhooks.stripe, name="webhook_stripe"),
]
