"""A fleet of simulated trackers over real sockets; it shares no code with the gateway, so each checks the other."""
