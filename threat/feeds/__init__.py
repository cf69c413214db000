"""Security feeds: lines of Suricata EVE, Zeek JSON and OCSF become `threat.observed` events; the mappings are tables."""
