"""Names of this app's features that staff can switch: see billing.features."""

ADD_MACHINES = "add_machines"
SWITCHED_OFF = "Adding machines is switched off at the moment. Run the same line again later."
