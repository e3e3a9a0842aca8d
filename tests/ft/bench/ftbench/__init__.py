# SPDX-License-Identifier: GPL-2.0-or-later
"""What tests/ft/bench/run is made of.

    subjects   the three things measured: plain, protected, COLO
    workloads  what a client does to each
    report     medians, spreads, ratios, the table
"""
