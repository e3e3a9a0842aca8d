# SPDX-License-Identifier: GPL-2.0-or-later
"""What tests/ft/bench/run is made of.

    modes      what is compared: unprotected, checkpoint, COLO (colo)
    guests     in which guests, and what runs in each of them
    workloads  which loads there are, as a table; made of clients (of the
               guest's network), jobs (inside the guest) and takeover; load
               is what they have in common
    agent      a command in the guest, given over the network
    measures   processor, memory, wire and pauses while a load runs
    rounds     one guest in one mode; a round of all; what failed and why
    results    the file with every figure, and the machine it is of
    stats      medians, spreads, ratios
    report     the Markdown
    plots      the SVG
"""
