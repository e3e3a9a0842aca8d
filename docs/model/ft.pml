/*
 * QEMU-FT: roles, generations, the lease and the arbiter, for spin
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Two hosts, each with one process that is primary or secondary, one
 * connection, one record at an arbiter, one clock.  docs/model.rst says what
 * is modelled, what is not, and within which bounds; scripts/check-model runs
 * every property and every variant.
 *
 * Nothing has a duration here except the two timers that carry the argument:
 * the primary's lease and the secondary's wait.  A step of a process, a
 * message, a request to the arbiter may take any number of ticks.  That is
 * what covers a stopped process (it takes no step while the clock ticks), a
 * link cut in one direction or both (its messages are not read), and an
 * arbiter out of reach.  So none of these is a variable of its own, except
 * where the question is what happens when it lasts for ever (LIVE).
 *
 * Each W_... is a wrong design.  check-model demands that spin refutes it.
 */

/* Bounds, all of them; every state within them is visited */
#ifndef TIMEOUT
#define TIMEOUT 2               /* ticks */
#endif
#ifndef MARGIN
#define MARGIN  1
#endif
#ifndef DRIFT
#define DRIFT   1               /* ticks two clocks may differ in TIMEOUT */
#endif
#ifndef EPOCHS
#define EPOCHS  3
#endif
#ifndef GENS
#define GENS    3
#endif
#ifndef CRASHES
#define CRASHES 1
#endif
#ifndef STARTS
#define STARTS  1               /* of a process as a fresh secondary */
#endif
#ifndef RESETS
#define RESETS  1               /* of the connection */
#endif
#ifndef HANDOVERS
#define HANDOVERS 1
#endif
#ifndef FAILURES
#define FAILURES 1              /* a copy that a secondary declares unusable */
#endif
#ifndef LOSSES
#define LOSSES  1               /* of the arbiter's answer */
#endif
#ifndef PRIMARIES
#define PRIMARIES 0             /* starts of a process as a new primary */
#endif
#ifndef CUTS
#define CUTS    0               /* directions of the link cut for ever */
#endif
#ifndef QUEUE
#define QUEUE   3               /* records in flight in each direction */
#endif

/*
 * A lease that starts when its record is sent, on the slowest clock allowed.
 * The secondary's wait is measured on the fastest, which is the model's tick.
 */
#define LEASE   (TIMEOUT - (MARGIN) + DRIFT)

mtype:rec = { COMMIT, ACK, BEAT, ECHO, END, ENDED, FAILED, HANDOVER, TAKEOVER };

/*
 * IDLE     a secondary without a copy, waiting for a primary
 * SEC      a secondary in a session; have: the epoch it would go on from
 * TAKING   a secondary that has decided to take over and asks the arbiter
 * ALONE    a primary that needs nobody: output goes at once.  With a
 *          connection: the first copy is being made
 * PRIM     a primary from the moment it sends the first COMMIT of a session
 * LOSING   a primary that has lost its secondary and asks the arbiter
 * HANDED   a primary that has said HANDOVER
 * FENCED   stopped for good
 */
mtype:role = { DEAD, IDLE, SEC, TAKING, ALONE, PRIM, LOSING, HANDED, FENCED };
mtype:ask = { NONE, ASKED, WON, LOST };

mtype:role role[2];
byte gen[2];                    /* generation it acts in, or its session's */
byte ep[2];                     /* primary: epoch the guest executes;
                                   secondary: last epoch it holds, 0: none */
byte acked[2];                  /* primary: last epoch acknowledged here */
bool open_commit[2];            /* primary: a COMMIT without its ACK */
bool open_beat[2];              /* primary: a BEAT without its echo */
byte lease[2];                  /* primary: ticks it may still let output go */
byte commit_lease[2];           /* what the ACK of that COMMIT is worth now */
byte beat_lease[2];             /* what the echo of that BEAT is worth now */
byte wait_[2];                  /* secondary: ticks before it may act */
mtype:ask ask[2] = NONE;        /* claim gen -> gen + 1, until known */

/* The arbiter */
byte rec_gen = 1;
byte rec_holder = 0;
bool life[2];                   /* this process, or the one before it */
byte rec_claim;                 /* whose claim made it: ID of that process */
byte stray[2];                  /* request of a process that is gone: from */
bool deaf[2];                   /* the arbiter never answers this host */
#define ID(h) (1 + h + 2 * life[h])

/* The connection: c[h] is what h says */
chan c[2] = [QUEUE] of { mtype:rec, byte };
bool up[2];                     /* this end is open */
bool fin[2];                    /* this end has been closed, and says so */
bool rst;                       /* broken by something in between */
bool cut[2];                    /* what h says is not heard any more */

/* Ghosts: no process reads them */
byte shown;                     /* last epoch whose output went outside */
byte crashes, starts, resets, handovers, failures, losses, primaries, cuts;
bool excused;                   /* the only copy that might act has died */

#define FREE(h) (role[h] == ALONE)
#define MAY(h)  (FREE(h) || (role[h] == PRIM && LEASED(h) && acked[h] > 0))
#ifdef W_NO_LEASE
#define LEASED(h) true
#else
#define LEASED(h) (lease[h] > 0)
#endif

/* So that pan names the property */
bool never_two = true, recorded = true, output_rule = true, no_stale = true;
#define CHECK(property, x) property = (x); assert(property)
#ifdef ONLY_OUTPUT
#define NEVER_TWO(x) skip
#define RECORDED(x) skip
#else
#define NEVER_TWO(x) CHECK(never_two, x)
#ifdef ONLY_TWO
#define RECORDED(x) skip
#else
#define RECORDED(x) CHECK(recorded, x)
#endif
#endif
#ifdef ONLY_TWO
#define OUTPUT_RULE(x) skip
#define NO_STALE(x) skip
#else
#define OUTPUT_RULE(x) CHECK(output_rule, x)
#define NO_STALE(x) CHECK(no_stale, x)
#endif
#ifdef NO_REBOOT
#define REBOOT(x) CHECK(output_rule, x)
#else
#define REBOOT(x) skip
#endif

/* --- the connection ------------------------------------------------------ */

inline flush(h) {
    do
    :: len(c[h]) > 0 -> c[h]?_, _
    :: else -> break
    od
}

/* What is said to an end that is closed is lost */
inline say(me, what, n) {
    if
    :: up[1 - me] -> c[me]!what(n)
    :: else
    fi
}

inline hang_up(me, how) {
    up[me] = false;
    fin[me] = how;
    flush(1 - me);
    if
    :: !up[1 - me] -> flush(me); fin[0] = false; fin[1] = false; rst = false
    :: else
    fi
}

inline close(me) {
    if
    :: up[me] -> hang_up(me, true)
    :: else
    fi
}

#define ROOM(me)    (len(c[me]) < QUEUE)
#define HEARS(me)   (up[me] && len(c[1 - me]) > 0 && !cut[1 - me])
#define NEXT(me, t) (HEARS(me) && c[1 - me]?[t, _])
#define TAKE(me)    c[1 - me]?_, n
#define EOF(me)     (up[me] && !rst && fin[1 - me] && !cut[1 - me] && \
                     len(c[1 - me]) == 0)
#define RST(me)     (up[me] && rst)

/* --- roles --------------------------------------------------------------- */

inline forget(me) {
    lease[me] = 0; commit_lease[me] = 0; beat_lease[me] = 0; wait_[me] = 0;
    acked[me] = 0; open_commit[me] = false; open_beat[me] = false
}

/* The copy is dropped */
inline be_idle(me) {
    close(me);
    forget(me);
    role[me] = IDLE; ep[me] = 0; gen[me] = 0; ask[me] = NONE
}

inline be_alone(me) {
    close(me);
    forget(me);
    role[me] = ALONE
}

/* A claim that is under way stays so: its request may arrive at any time */
inline abandon_claim(me) {
    if
    :: ask[me] == ASKED -> stray[me] = gen[me]
    :: else
    fi;
    ask[me] = NONE
}

inline be_fenced(me) {
    close(me);
    forget(me);
    abandon_claim(me);
    role[me] = FENCED; ep[me] = 0; gen[me] = 0
}

/* From a secondary's copy to a guest that acts */
inline take_over(me) {
    OUTPUT_RULE(ep[me] >= shown);
    if
    :: up[me] && ROOM(me) -> say(me, TAKEOVER, 0)
    :: else
    fi;
    ep[me]++;
    be_alone(me)
}

/*
 * From here on this side reads nothing and says nothing, so no new lease can
 * come of it; it asks when the last one it gave is over.
 */
inline decide(me) {
    role[me] = TAKING
}

#ifdef CLAIM_AT_ONCE
#define OVER(me) true
#else
#define OVER(me) (wait_[me] == 0)
#endif

#if defined(W_ALONE_UNCLAIMED)
#define MUST_CLAIM(me) false
#elif defined(W_CLAIM_FROM_ACK)
#define MUST_CLAIM(me) (acked[me] > 0)
#else
#define MUST_CLAIM(me) true
#endif

inline lose(me) {
    if
    :: MUST_CLAIM(me) -> forget(me); role[me] = LOSING; ask[me] = ASKED
    :: else -> be_alone(me)
    fi
}

/* The peer has said that it will never act from this session's copy */
inline renounced(me) {
    be_alone(me)
}

#ifdef W_DIAL_UNSETTLED
#define SETTLED(me) true
#else
#define SETTLED(me) (ask[me] == NONE)
#endif

/* What an answer is worth: counted from when its question was sent */
#ifdef W_LEASE_FROM_ANSWER
#define WORTH(t) LEASE
#else
#define WORTH(t) t
#endif

#define longer(a, b) a = (a > b -> a : b)

proctype host(byte me)
{
    byte n;

    do
    /* A primary that needs nobody */
    :: d_step { FREE(me) && shown < ep[me] -> shown = ep[me] }
    :: d_step { FREE(me) && !up[me] && SETTLED(me) && gen[me] < GENS &&
                ep[me] <= EPOCHS && role[1 - me] == IDLE && !up[1 - me] ->
        up[0] = true; up[1] = true;
        role[1 - me] = SEC; gen[1 - me] = gen[me] }
    :: d_step { FREE(me) && up[me] && ROOM(me) ->
        say(me, COMMIT, ep[me]);
        role[me] = PRIM; ep[me]++;
        open_commit[me] = true; commit_lease[me] = LEASE }
    :: d_step { FREE(me) && up[me] && (EOF(me) || RST(me) || HEARS(me)) ->
        be_alone(me) }
    :: d_step { FREE(me) && ask[me] == WON -> gen[me]++; ask[me] = NONE }
    :: d_step { FREE(me) && ask[me] == LOST -> RECORDED(false); be_fenced(me) }

    /* A primary in a session */
    :: d_step { role[me] == PRIM && !open_commit[me] && ep[me] <= EPOCHS &&
                ROOM(me) ->
        say(me, COMMIT, ep[me]);
        ep[me]++;
        open_commit[me] = true; commit_lease[me] = LEASE }
    :: d_step { role[me] == PRIM && !open_beat[me] && ROOM(me) ->
        say(me, BEAT, 0);
        open_beat[me] = true; beat_lease[me] = LEASE }
    :: d_step { role[me] == PRIM && NEXT(me, ACK) ->
        TAKE(me); acked[me] = n; open_commit[me] = false;
        longer(lease[me], WORTH(commit_lease[me]));
        commit_lease[me] = 0; n = 0 }
    :: d_step { role[me] == PRIM && NEXT(me, ECHO) ->
        TAKE(me); open_beat[me] = false;
        longer(lease[me], WORTH(beat_lease[me]));
        beat_lease[me] = 0; n = 0 }
#ifdef W_EARLY_OUTPUT
    :: d_step { role[me] == PRIM && shown < ep[me] -> shown = ep[me] }
#endif
#ifndef SPLIT
    :: d_step { role[me] == PRIM && LEASED(me) && acked[me] > shown ->
        NEVER_TWO(!FREE(1 - me));
        shown = acked[me] }
#else
    /* The process is stopped between the check and the system call */
    :: d_step { role[me] == PRIM && LEASED(me) && acked[me] > shown ->
        n = acked[me] };
       d_step { 
        if
        :: role[me] != DEAD ->
            NEVER_TWO(!FREE(1 - me));
            OUTPUT_RULE(!FREE(1 - me) || n < ep[1 - me]);
            shown = (n > shown -> n : shown)
        :: else
        fi;
        n = 0 }
#endif
    /* For whatever reason: silence, ft-stop, a disk, a device, a mistake */
    :: d_step { role[me] == PRIM && ROOM(me) -> say(me, END, 0); lose(me) }
    :: d_step { role[me] == PRIM -> lose(me) }
    :: d_step { role[me] == PRIM && (EOF(me) || RST(me)) ->
        close(me); lose(me) }
    :: d_step { role[me] == PRIM && handovers < HANDOVERS && ROOM(me) ->
        handovers++;
        say(me, HANDOVER, 0);
        forget(me); role[me] = HANDED }

    /* The peer's last words */
    :: d_step { (role[me] == PRIM || role[me] == LOSING || role[me] == HANDED) &&
                (NEXT(me, FAILED) || NEXT(me, ENDED)) ->
        renounced(me) }
    :: d_step { (role[me] == PRIM || role[me] == LOSING || role[me] == HANDED) &&
                NEXT(me, TAKEOVER) ->
        be_fenced(me) }
    :: d_step { (role[me] == LOSING || role[me] == HANDED) &&
                (NEXT(me, ACK) || NEXT(me, ECHO)) -> TAKE(me); n = 0 }

    /* A primary that has lost its secondary */
    :: d_step { role[me] == LOSING && (EOF(me) || RST(me)) -> close(me) }
    :: d_step { role[me] == LOSING && ask[me] == WON ->
        gen[me]++; ask[me] = NONE; be_alone(me) }
    :: d_step { role[me] == LOSING && ask[me] == LOST ->
        be_fenced(me) }
#ifdef HANDED_CLAIMS
    :: d_step { role[me] == HANDED -> role[me] = LOSING; ask[me] = ASKED }
#else
    :: d_step { role[me] == HANDED && (EOF(me) || RST(me)) ->
        be_fenced(me) }
#endif

    /* A secondary */
    :: d_step { role[me] == SEC && NEXT(me, COMMIT) && ROOM(me) ->
        TAKE(me); ep[me] = n; wait_[me] = TIMEOUT;
        say(me, ACK, n); n = 0 }
    :: d_step { role[me] == SEC && NEXT(me, BEAT) && ROOM(me) ->
        TAKE(me); wait_[me] = TIMEOUT;
        say(me, ECHO, 0); n = 0 }
#ifdef W_END_KEPT
    :: d_step { role[me] == SEC && NEXT(me, END) && ROOM(me) ->
        TAKE(me); n = 0; say(me, ENDED, 0) }
#else
    :: d_step { role[me] == SEC && NEXT(me, END) && ROOM(me) ->
        say(me, ENDED, 0);
        be_idle(me) }
#endif
    :: d_step { role[me] == SEC && failures < FAILURES && ROOM(me) ->
        failures++;
        say(me, FAILED, 0);
        be_idle(me) }
    :: d_step { role[me] == SEC && ep[me] == 0 && (EOF(me) || RST(me)) ->
        be_idle(me) }
    :: d_step { role[me] == SEC && ep[me] > 0 && EOF(me) ->
        close(me); wait_[me] = 0; decide(me) }
    /* Silence, a hung primary, a reset, a record that makes no sense */
    :: d_step { role[me] == SEC && ep[me] > 0 ->
        decide(me) }
#ifdef W_RESET_AT_ONCE
    :: d_step { role[me] == SEC && ep[me] > 0 && RST(me) ->
        close(me); wait_[me] = 0; decide(me) }
#endif
#ifdef W_HUNG_AT_ONCE
    :: d_step { role[me] == SEC && ep[me] > 0 && open_beat[1 - me] ->
        wait_[me] = 0; decide(me) }
#endif
#ifdef BY_RECORD
    :: d_step { role[me] == SEC && ep[me] > 0 && NEXT(me, HANDOVER) ->
        TAKE(me); n = 0; wait_[me] = 0; decide(me) }
#else
    /* By the word of the only other that could act; recorded when possible */
    :: d_step { role[me] == SEC && ep[me] > 0 && NEXT(me, HANDOVER) ->
        TAKE(me); n = 0;
        take_over(me); ask[me] = ASKED }
#endif
    :: d_step { role[me] == SEC && ep[me] == 0 && NEXT(me, HANDOVER) &&
                ROOM(me) ->
        say(me, FAILED, 0); be_idle(me) }

    /* A secondary that has decided */
    :: d_step { role[me] == TAKING && ask[me] == NONE && OVER(me) ->
        ask[me] = ASKED }
    :: d_step { role[me] == TAKING && ask[me] == WON && wait_[me] == 0 ->
        gen[me]++; ask[me] = NONE; take_over(me) }
    :: d_step { role[me] == TAKING && ask[me] == LOST ->
        be_idle(me) }
#ifdef W_TAKE_UNCLAIMED
    :: d_step { role[me] == TAKING && ask[me] == NONE && wait_[me] == 0 ->
        take_over(me) }
#endif
#ifdef W_ECHO_WHILE_ASKING
    :: d_step { role[me] == TAKING && NEXT(me, BEAT) && ROOM(me) ->
        TAKE(me); n = 0; say(me, ECHO, 0) }
#endif
#ifdef W_ENDED_WHILE_ASKING
    :: d_step { role[me] == TAKING && NEXT(me, END) && ROOM(me) ->
        TAKE(me); n = 0; say(me, ENDED, 0) }
#endif
#ifdef W_FAILED_AFTER_CLAIM
    :: d_step { role[me] == TAKING && ask[me] != NONE && ask[me] != LOST &&
                ROOM(me) && failures < FAILURES ->
        failures++;
        say(me, FAILED, 0); abandon_claim(me); be_idle(me) }
#endif
    od
}

/* Faults, the arbiter and the clock */

/* The one death that leaves nobody: of the only copy that may still act */
#define COPY(h) ((role[h] == SEC && ep[h] > 0) || role[h] == TAKING || \
                 role[h] == PRIM || role[h] == LOSING || role[h] == ALONE)

inline crash(h) {
    crashes++;
    if
    :: COPY(h) && (!COPY(1 - h) || ask[h] == WON) -> excused = true
    :: else
    fi;
    life[h] = !life[h];
    forget(h);
    abandon_claim(h);
    role[h] = DEAD; ep[h] = 0; gen[h] = 0
}

inline arbitrate(h, from, answer) {
    if
#ifdef NO_ARBITER
    :: true -> answer = WON
#elif defined(W_NO_COMPARE)
    :: true ->
        NO_STALE(role[h] != TAKING || ep[h] >= shown);
        rec_gen = from + 1; rec_holder = h; rec_claim = ID(h); answer = WON
#else
    :: rec_gen == from ->
        NO_STALE(role[h] != TAKING || ep[h] >= shown);
        rec_gen++; rec_holder = h; rec_claim = ID(h); answer = WON
#ifndef W_NO_CLAIM_ID
    :: rec_gen == from + 1 && rec_claim == ID(h) -> answer = WON
#endif
    :: else -> answer = LOST
#endif
    fi
}

/* The request of a process that is gone arrives.  Its claim has an ID that
   no living process has: 0 */
inline late(h) {
    if
    :: rec_gen == stray[h] ->
        rec_gen++; rec_holder = h; rec_claim = 0; excused = true
    :: else
    fi;
    stray[h] = 0
}

/*
 * An administrator, or the host's boot, starts a process as a new primary.  It
 * reads the record and claims the next generation before it does anything.
 */
#ifdef W_START_ANYWHERE
#define ENTITLED(h) true
#else
#define ENTITLED(h) (rec_holder == h)
#endif

inline start_primary(h) {
    primaries++;
    REBOOT(!(role[1 - h] == TAKING || (role[1 - h] == SEC && ep[1 - h] > 0)));
#ifndef W_START_UNCLAIMED
    rec_gen++; rec_holder = h; rec_claim = 0;
#endif
    role[h] = ALONE; gen[h] = rec_gen; ep[h] = 1
}

inline count(t) { t = (t > 0 -> t - 1 : 0) }

#define RUNNING(h) (lease[h] > 0 || commit_lease[h] > 0 || \
                    beat_lease[h] > 0 || wait_[h] > 0)

proctype world()
{
    mtype:ask unused;
    byte h;

    do
    :: d_step { RUNNING(0) || RUNNING(1) ->
        for (h : 0 .. 1) {
            count(lease[h]); count(commit_lease[h]); count(beat_lease[h]);
            count(wait_[h])
        };
        h = 0 }
    :: d_step { ask[0] == ASKED && !deaf[0] -> arbitrate(0, gen[0], ask[0]) }
    :: d_step { ask[1] == ASKED && !deaf[1] -> arbitrate(1, gen[1], ask[1]) }
    /* The answer is lost: asked again with the same claim */
    :: d_step { losses < LOSSES && (ask[0] == WON || ask[0] == LOST) ->
        losses++; ask[0] = ASKED }
    :: d_step { losses < LOSSES && (ask[1] == WON || ask[1] == LOST) ->
        losses++; ask[1] = ASKED }
    :: d_step { stray[0] > 0 -> late(0) }
    :: d_step { stray[1] > 0 -> late(1) }
    :: d_step { !rst && resets < RESETS && up[0] && up[1] ->
        resets++; rst = true }

    /* The process dies; its kernel says so, or breaks it, or died with it */
    :: d_step { crashes < CRASHES && role[0] != DEAD ->
        close(0); crash(0) }
    :: d_step { crashes < CRASHES && role[1] != DEAD ->
        close(1); crash(1) }
    :: d_step { crashes < CRASHES && role[0] != DEAD && up[0] && up[1] ->
        rst = true; close(0); crash(0) }
    :: d_step { crashes < CRASHES && role[1] != DEAD && up[0] && up[1] ->
        rst = true; close(1); crash(1) }
    :: d_step { crashes < CRASHES && role[0] != DEAD && up[0] && up[1] ->
        hang_up(0, false); crash(0) }
    :: d_step { crashes < CRASHES && role[1] != DEAD && up[0] && up[1] ->
        hang_up(1, false); crash(1) }
    :: d_step { starts < STARTS && (role[0] == DEAD || role[0] == FENCED) ->
        starts++; role[0] = IDLE }
    :: d_step { starts < STARTS && (role[1] == DEAD || role[1] == FENCED) ->
        starts++; role[1] = IDLE }
    :: d_step { primaries < PRIMARIES && ENTITLED(0) &&
                (role[0] == DEAD || role[0] == FENCED) -> start_primary(0) }
    :: d_step { primaries < PRIMARIES && ENTITLED(1) &&
                (role[1] == DEAD || role[1] == FENCED) -> start_primary(1) }
    :: d_step { cuts < CUTS && !cut[0] -> cuts++; cut[0] = true }
    :: d_step { cuts < CUTS && !cut[1] -> cuts++; cut[1] = true }
    :: d_step { MAY(0) && MAY(1) -> NEVER_TWO(false) }
    od
}

init {
    d_step {
        role[0] = ALONE; gen[0] = 1; ep[0] = 1;
        role[1] = IDLE;
        ask[0] = NONE; ask[1] = NONE
    };
    atomic {
        run host(0);
        run host(1);
        run world()
    }
}
