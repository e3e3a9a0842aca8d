# SPDX-License-Identifier: GPL-2.0-or-later
"""What the tests of QEMU-FT are made of.

    wait     the one place that waits       qmp      QEMU's monitor
    netns    a private network              console  the guest's serial port
    guest    the image and its parameters   vm       one QEMU
    redis    the guest's server             pair     a primary and a secondary
    pump     a back end's far end   capture  what leaves an interface
    client   loads that check every reply   case     what a test file uses
    runner   runs everything, tests/ft/run
"""
