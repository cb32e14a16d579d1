"""PayPal's REST API, as far as a site that pays people calls it.

Checked against what PayPal documents: https://developer.paypal.com/docs/api/payments.payouts-batch/v1/
"""
