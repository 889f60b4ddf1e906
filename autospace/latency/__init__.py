"""Latency: measured per part of a network on one device, predicted for whole networks."""
