# SPDX-License-Identifier: GPL-2.0-or-later
#
# What the scripts in this folder share.

# median <NUMBERS
median() {
    sort -n | awk '{ v[NR] = $1 } END { print (v[int((NR + 1) / 2)] + v[int(NR / 2) + 1]) / 2 }'
}
