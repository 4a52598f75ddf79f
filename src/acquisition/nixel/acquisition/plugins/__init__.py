"""Vendor plugins: device libraries behind the C interface of nixel_device.h."""
