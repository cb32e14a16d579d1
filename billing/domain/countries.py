"""Countries that hosts can be paid to, by ISO 3166-1 code: the US by bank transfer, all others by PayPal."""

_NAMES = """
US United States; AR Argentina; AU Australia; AT Austria; BH Bahrain; BE Belgium; BM Bermuda; BR Brazil; BG Bulgaria;
CA Canada; KY Cayman Islands; CL Chile; CN China; CO Colombia; CR Costa Rica; HR Croatia; CY Cyprus; CZ Czechia;
DK Denmark; DO Dominican Republic; EC Ecuador; EE Estonia; FI Finland; FR France; GE Georgia; DE Germany; GI Gibraltar;
GR Greece; GT Guatemala; HK Hong Kong; HU Hungary; IS Iceland; IN India; ID Indonesia; IE Ireland; IL Israel; IT Italy;
JM Jamaica; JP Japan; JO Jordan; KZ Kazakhstan; KE Kenya; KR Korea, South; KW Kuwait; LV Latvia; LI Liechtenstein;
LT Lithuania; LU Luxembourg; MY Malaysia; MT Malta; MU Mauritius; MX Mexico; MD Moldova; MC Monaco; MA Morocco;
NL Netherlands; NZ New Zealand; NI Nicaragua; NO Norway; OM Oman; PA Panama; PE Peru; PH Philippines; PL Poland;
PT Portugal; QA Qatar; RO Romania; SM San Marino; SA Saudi Arabia; RS Serbia; SG Singapore; SK Slovakia; SI Slovenia;
ZA South Africa; ES Spain; SE Sweden; CH Switzerland; TW Taiwan; TH Thailand; TN Tunisia; AE United Arab Emirates;
GB United Kingdom; UY Uruguay; VN Vietnam
"""

COUNTRIES: dict[str, str] = {
    entry.strip()[:2]: entry.strip()[3:] for entry in _NAMES.replace("\n", " ").split(";") if entry.strip()
}
"""Names by code, in the order in which they are offered."""
