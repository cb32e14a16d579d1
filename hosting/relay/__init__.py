"""The relay: machines behind NAT log in and show ports of their instances to the world. A process of its own."""
