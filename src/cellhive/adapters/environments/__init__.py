"""The environment for Gymnasium, which learns of it here, and for PettingZoo."""

from cellhive.adapters.environments.registration import register

register()
