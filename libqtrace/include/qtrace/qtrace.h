/*
 * qtrace/qtrace.h - everything
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef QTRACE_QTRACE_H
#define QTRACE_QTRACE_H

#include "counts.h"
#include "error.h"
#include "event.h"
#include "merge.h"
#include "reader.h"
#include "writer.h"

#endif
