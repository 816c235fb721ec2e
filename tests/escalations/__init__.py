"""Ten thousand crises under faults: processes are killed, Redis goes away, channels fail, hang and lie."""
