# SPDX-License-Identifier: GPL-2.0-or-later
"""What tests/ft/bench/scale is made of, besides ftbench itself.

    member     one of many pairs, unprotected and protected in turn
    paced      its client: some requests a second, each reply checked
    meter      processor, memory, wire and pauses of a window of time
    sweep      one pair: memory, vCPUs, dirtied pages
    pairs      many pairs at once
    fit        straight lines through the figures
    figures    medians of the rounds, what a figure is called, the lines
    report     the Markdown of the measurements
    plots      the SVG
    rack       the arithmetic for many hosts, as a page (racktext)
"""
