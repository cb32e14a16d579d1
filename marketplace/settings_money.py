"""The settings about money: read like all others, in a file of their own."""

from marketplace.environment import TESTING, env, is_http_url, read

# Cards: Stripe. Without a key, pages say that cards are not taken.
STRIPE_SECRET_KEY = read("STRIPE_SECRET_KEY", env.str, "")
STRIPE_WEBHOOK_SECRET = read("STRIPE_WEBHOOK_SECRET", env.str, "")
"""Signs what Stripe sends to /webhooks/stripe/; without it every webhook is refused."""
STRIPE_API_BASE = read(
    "STRIPE_API_BASE", env.str, "https://api.stripe.com", check=is_http_url, wants="an http:// or https:// URL"
).rstrip("/")
"""Where Stripe's API answers; another address is a sandbox."""
STRIPE_PAGE_ORIGINS = [
    "https://checkout.stripe.com" if STRIPE_API_BASE == "https://api.stripe.com" else STRIPE_API_BASE
]
"""Where Stripe's own pages are, to which forms of ours may lead."""
PAYMENTS_TEST_MODE = (
    not STRIPE_SECRET_KEY.startswith(("sk_live_", "rk_live_")) or STRIPE_API_BASE != "https://api.stripe.com"
)
"""No money moves: the key is a test key, or a sandbox stands for the provider. Pages say so."""
PROVIDER_TIMEOUT_SECONDS = read(
    "PROVIDER_TIMEOUT_SECONDS", env.int, 15, check=lambda v: 1 <= v <= 80, wants="between 1 and 80"
)
"""How long a payment provider may keep us waiting."""
PROVIDER_RETRIES = read("PROVIDER_RETRIES", env.int, 0 if TESTING else 1, check=lambda v: 0 <= v <= 5, wants="0 to 5")
"""How often a call is repeated at once when its answer did not come; what is still open then is reconciled later."""
PAYMENT_LEAST_MICROS = read("PAYMENT_LEAST_MICROS", env.int, 5_000_000, check=lambda v: v >= 500_000, wants="500000+")
PAYMENT_MOST_MICROS = read(
    "PAYMENT_MOST_MICROS", env.int, 2_000_000_000, check=lambda v: v <= 100_000_000_000, wants="100000000000 or less"
)
"""The least and the most that one card payment may be, in micro-dollars."""

PLATFORM_HOST_SHARE_BPS = read(
    "PLATFORM_HOST_SHARE_BPS", env.int, 7500, check=lambda v: 0 <= v <= 10_000, wants="between 0 and 10000"
)
"""The host's part of every usage posting, in hundredths of a percent."""

DEBT_GRACE_DAYS = read("DEBT_GRACE_DAYS", env.float, 3.0, check=lambda v: 0 <= v <= 365, wants="between 0 and 365")
"""How long disks are kept, as a debt, after a client's credit is used up."""
DEBT_LIMIT_DOLLARS = read(
    "DEBT_LIMIT_DOLLARS", env.int, 5, check=lambda v: 0 <= v <= 1_000_000, wants="between 0 and 1000000"
)
"""What a client may owe for them; they are deleted when either is reached."""

REFUND_ALONE_DOLLARS = read(
    "REFUND_ALONE_DOLLARS", env.int, 50, check=lambda v: 0 <= v <= 1_000_000, wants="between 0 and 1000000"
)
"""So much use and credit is given to a client within a day by one member of the staff; more, and any adjustment, takes
two."""

SPEND_LIMIT_DOLLARS_PER_HOUR = read(
    "SPEND_LIMIT_DOLLARS_PER_HOUR", env.int, 2, check=lambda v: 0 <= v <= 1_000_000, wants="between 0 and 1000000"
)
"""What a client that has paid for nothing yet may spend an hour; more as its history grows."""
# Payouts to hosts: Stripe Connect in the US, PayPal elsewhere.
STRIPE_CONNECT_WEBHOOK_SECRET = read("STRIPE_CONNECT_WEBHOOK_SECRET", env.str, "")
"""Signs what Stripe tells of the accounts of hosts, to /webhooks/stripe-connect/."""
PAYPAL_CLIENT_ID = read("PAYPAL_CLIENT_ID", env.str, "")
PAYPAL_CLIENT_SECRET = read("PAYPAL_CLIENT_SECRET", env.str, "")
PAYPAL_API_BASE = read(
    "PAYPAL_API_BASE", env.str, "https://api-m.paypal.com", check=is_http_url, wants="an http:// or https:// URL"
).rstrip("/")
PAYPAL_WEB_BASE = read(
    "PAYPAL_WEB_BASE", env.str, "https://www.paypal.com", check=is_http_url, wants="an http:// or https:// URL"
).rstrip("/")
"""Where hosts sign in to PayPal."""
PAYPAL_TEST_MODE = PAYPAL_API_BASE != "https://api-m.paypal.com"
"""No money moves through PayPal: a sandbox stands for it."""
PAYPAL_WEBHOOK_ID = read("PAYPAL_WEBHOOK_ID", env.str, "")
"""What PayPal calls our webhook; part of what it signs."""
PAYOUT_MINIMUM_MICROS = read(
    "PAYOUT_MINIMUM_MICROS", env.int, 10_000_000, check=lambda v: v >= 10_000, wants="10000 (a cent) or more"
)
"""The least that is paid out, in micro-dollars; less carries over."""
