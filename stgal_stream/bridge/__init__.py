"""Between the log and the world around it: MQTT in and out, webhooks out.

Law: nothing is lost. What comes from MQTT is acknowledged after the log has it; what goes out is
committed after its receiver has it. So either side may see a thing twice after a crash, under the
same id. Inputs: an address and topics. A bridge is a process of its own and disturbs no tracking.
"""
