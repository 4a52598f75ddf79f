"""The conformance suite of vendor plugins: `nixel plugin check`."""
