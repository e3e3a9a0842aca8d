/*
 * QEMU-FT: roles, generations, the lease and the arbiter, for spin
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Two hosts, each with one process that is primary or secondary; one
 * connection; one record at an arbiter; one clock.  docs/model.rst says what
 * is modelled, what is not, and within which bounds; scripts/check-model runs
 * every property and every variant.
 *
 * Nothing has a duration here but the two timers that carry the argument: the
 * primary's lease and the secondary's grace.  A step of a process, a message
 * or a request to the arbiter may take any number of ticks.  That covers a
 * stopped process (it takes no step while the clock ticks), a link cut in one
 * direction or both (what was said is not read yet) and an arbiter out of
 * reach.  None of these needs a variable, except where the question is what
 * becomes of it when it lasts for ever (LIVE).
 *
 * Both sides also give each other up whenever they like, so every cause there
 * is for that (silence, a hung main loop, a disk, a device, a mistake) is in.
 *
 * W_... are wrong designs: check-model demands that spin refutes each.  WORD,
 * SPLIT and CLAIM_AT_ONCE are choices.
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
#define LOSSES  0               /* of the arbiter's answer */
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
 * What an answer is worth from the moment its question was sent.  The clock
 * that ticks here is the secondary's; the primary's is the slowest allowed.
 */
#define LEASE   (TIMEOUT - (MARGIN) + DRIFT)

mtype:rec = { COMMIT, ACK, BEAT, ECHO, END, ENDED, FAILED, HANDOVER, TAKEOVER };

/*
 * IDLE     a secondary without a copy, waiting for a primary
 * SEC      a secondary in a session
 * TAKING   a secondary that has decided to take over
 * ALONE    a primary that needs nobody: output goes at once.  If it has a
 *          connection the first copy is being made
 * PRIM     a primary, from the moment it sends the first COMMIT of a session
 * LOSING   a primary that has given its secondary up and asks the arbiter
 * HANDED   a primary that has said HANDOVER
 * FENCED   stopped for good
 */
mtype:role = { DEAD, IDLE, SEC, TAKING, ALONE, PRIM, LOSING, HANDED, FENCED };
mtype:ask = { NONE, ASKED, WON, LOST };

mtype:role role[2];
byte gen[2];                    /* generation it acts in, or its session's */
byte ep[2];                     /* primary: the epoch its guest executes;
                                   secondary: the last it holds, 0: none */
byte acked[2];                  /* primary: last epoch acknowledged here */
bool open_commit[2];            /* primary: a COMMIT without its ACK */
bool open_beat[2];              /* primary: a BEAT without its echo */
byte lease[2];                  /* primary: ticks it may still let output go */
byte commit_lease[2];           /* what the ACK of that COMMIT is worth now */
byte beat_lease[2];             /* what the echo of that BEAT is worth now */
byte grace[2];                  /* secondary: ticks before it may claim */
mtype:ask ask[2];               /* claim gen -> gen + 1, until known */

/* The arbiter's record, and what is on the way to it */
byte rec_gen = 1;
byte rec_holder = 0;
byte rec_claim;                 /* ID of the process whose claim made it */
bool life[2];                   /* tells a process from the one before it */
#define ID(h) (1 + (h) + 2 * life[h])
byte stray[2];                  /* claim of a process that is gone: from */
bool deaf[2];                   /* the arbiter never answers this host */

/* The connection; c[h] is what h says */
chan c[2] = [QUEUE] of { mtype:rec, byte };
bool up[2];                     /* this end is open */
bool fin[2];                    /* this end was closed and its kernel says so */
bool rst;                       /* broken by something in between */
bool cut[2];                    /* what h says is never heard any more */

/* No process reads these */
byte shown;                     /* last epoch whose output has gone outside */
byte crashes, starts, resets, handovers, failures, losses, primaries, cuts;
bool excused;                   /* the only copy that might act has died */

/*
 * never_two    no instant at which both may let output go
 * recorded     who acts never learns that the record went to another; in the
 *              end the record names who acts, if its host can reach it
 * output_rule  whoever goes on holds every epoch of which something was shown
 * no_stale     a secondary to which the arbiter says yes holds them, too
 * never_zero   in the end somebody acts, or there is a reason
 * no_reboot    no new primary starts while a copy is there to go on from
 */
bool never_two = true, recorded = true, output_rule = true, no_stale = true,
     never_zero = true, no_reboot = true;
#define CHECK(property, x) property = (x); assert(property)

/* A search ends at the first property that fails: ONLY_... leaves out others */
#if defined(ONLY_OUTPUT) || defined(ONLY_STALE)
#define NEVER_TWO(x) skip
#else
#define NEVER_TWO(x) CHECK(never_two, x)
#endif
#if defined(ONLY_OUTPUT) || defined(ONLY_STALE) || defined(ONLY_TWO)
#define RECORDED(x) skip
#else
#define RECORDED(x) CHECK(recorded, x)
#endif
/* A guest that was started anew holds nothing of what was shown before */
#if defined(ONLY_STALE) || defined(ONLY_TWO) || PRIMARIES > 0
#define OUTPUT_RULE(x) skip
#else
#define OUTPUT_RULE(x) CHECK(output_rule, x)
#endif
#if defined(ONLY_OUTPUT) || defined(ONLY_TWO) || PRIMARIES > 0
#define NO_STALE(x) skip
#else
#define NO_STALE(x) CHECK(no_stale, x)
#endif
#ifdef NO_REBOOT
#define REBOOT(x) CHECK(no_reboot, !(x))
#else
#define REBOOT(x) skip
#endif

#define FREE(h) (role[h] == ALONE)
#ifdef W_NO_LEASE
#define LEASED(h) true
#else
#define LEASED(h) (lease[h] > 0)
#endif
#ifdef W_FREE_UNTIL_ACK
#define MAY(h) (FREE(h) || (role[h] == PRIM && (acked[h] == 0 || LEASED(h))))
#else
#define MAY(h) (FREE(h) || (role[h] == PRIM && acked[h] > 0 && LEASED(h)))
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
    lease[me] = 0; commit_lease[me] = 0; beat_lease[me] = 0; grace[me] = 0;
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
 * From here on this side reads nothing and says nothing more, so no new lease
 * can come of it; it asks the arbiter when the last one is over.
 */
inline decide(me) {
    role[me] = TAKING
}

#ifdef CLAIM_AT_ONCE
#define OVER(me) true
#else
#define OVER(me) (grace[me] == 0)
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

#ifdef W_DIAL_UNSETTLED
#define SETTLED(me) true
#else
#define SETTLED(me) (ask[me] == NONE)
#endif

#ifdef W_LEASE_FROM_ANSWER
#define WORTH(t) LEASE
#else
#define WORTH(t) t
#endif

#define longer(a, b) a = (a > b -> a : b)

/*
 * never_zero excuses the death of the only copy that may act.  HANDED counts:
 * it may claim, or may be told to go on.
 */
#ifdef LIVE
#define EXCUSE(x) excused = (excused || (x))
#else
#define EXCUSE(x) skip
#endif
#define HAS_WON(h) (ask[h] == WON || (ask[h] == ASKED && \
                    rec_gen == gen[h] + 1 && rec_claim == ID(h)))
#define IS_PRIMARY(h) (role[h] == PRIM || role[h] == LOSING || \
                       role[h] == HANDED || FREE(h))
#define HOLDS(h)  ((role[h] == SEC && ep[h] > 0) || role[h] == TAKING)
#define USABLE(h) (FREE(h) || HAS_WON(h) || \
                   (HOLDS(h) && role[1 - (h)] == PRIM) || \
                   (gen[h] == rec_gen && (HOLDS(h) || IS_PRIMARY(h))))

proctype host(byte me)
{
    byte n;

    do
    /* A primary that needs nobody */
    :: d_step { FREE(me) && shown < ep[me] -> shown = ep[me] }
    :: d_step { FREE(me) && !up[me] && SETTLED(me) && gen[me] < GENS &&
                ep[me] <= EPOCHS && role[1 - me] == IDLE && !up[1 - me] &&
                !cut[0] && !cut[1] ->
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
#ifndef LIVE
    :: d_step { role[me] == PRIM && !open_beat[me] && ROOM(me) ->
        say(me, BEAT, 0);
        open_beat[me] = true; beat_lease[me] = LEASE }
#endif
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
    /* It gives the peer up.  END may find no room */
    :: d_step { role[me] == PRIM && ROOM(me) -> say(me, END, 0); lose(me) }
    :: d_step { role[me] == PRIM -> lose(me) }
    :: d_step { role[me] == PRIM && (EOF(me) || RST(me)) ->
        close(me); lose(me) }
    :: d_step { role[me] == PRIM && handovers < HANDOVERS && ROOM(me) ->
        handovers++;
        say(me, HANDOVER, 0);
        forget(me); role[me] = HANDED }

    /* The peer's last words.  After FAILED and ENDED no claim is needed: it
       will never act from this copy */
    :: d_step { (role[me] == PRIM || role[me] == LOSING || role[me] == HANDED) &&
                (NEXT(me, FAILED) || NEXT(me, ENDED)) ->
        be_alone(me) }
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
#ifdef W_HANDED_WAITS
#elif !defined(WORD) || defined(W_WORD_CLAIMED)
    :: d_step { role[me] == HANDED -> role[me] = LOSING; ask[me] = ASKED }
#else
    :: d_step { role[me] == HANDED && (EOF(me) || RST(me)) ->
        EXCUSE(true);
        be_fenced(me) }
#endif

    /* A secondary */
    :: d_step { role[me] == SEC && NEXT(me, COMMIT) && ROOM(me) ->
        TAKE(me); ep[me] = n; grace[me] = TIMEOUT;
        say(me, ACK, n); n = 0 }
    :: d_step { role[me] == SEC && NEXT(me, BEAT) && ROOM(me) ->
        TAKE(me); grace[me] = TIMEOUT;
        say(me, ECHO, 0); n = 0 }
#ifdef W_END_KEPT
    :: d_step { role[me] == SEC && NEXT(me, END) && ROOM(me) ->
        TAKE(me); n = 0; say(me, ENDED, 0) }
#else
    :: d_step { role[me] == SEC && NEXT(me, END) && ROOM(me) ->
        EXCUSE(!IS_PRIMARY(1 - me));
        say(me, ENDED, 0);
        be_idle(me) }
#endif
    :: d_step { role[me] == SEC && failures < FAILURES && ROOM(me) ->
        failures++;
        EXCUSE(!IS_PRIMARY(1 - me));
        say(me, FAILED, 0);
        be_idle(me) }
    :: d_step { role[me] == SEC && ep[me] == 0 && (EOF(me) || RST(me)) ->
        be_idle(me) }
    /* The primary's own end is closed: it has stopped, or is gone */
    :: d_step { role[me] == SEC && ep[me] > 0 && EOF(me) ->
        close(me); grace[me] = 0; decide(me) }
    /* Silence, a hung primary, a reset, a record that makes no sense */
    :: d_step { role[me] == SEC && ep[me] > 0 -> decide(me) }
#ifdef W_RESET_AT_ONCE
    :: d_step { role[me] == SEC && ep[me] > 0 && RST(me) ->
        close(me); grace[me] = 0; decide(me) }
#endif
#ifdef W_HUNG_AT_ONCE
    :: d_step { role[me] == SEC && ep[me] > 0 && open_beat[1 - me] ->
        grace[me] = 0; decide(me) }
#endif
#ifdef WORD
    /* On the word of the only other that could act; recorded when possible */
    :: d_step { role[me] == SEC && ep[me] > 0 && NEXT(me, HANDOVER) ->
        TAKE(me); n = 0;
        take_over(me); ask[me] = ASKED }
#else
    :: d_step { role[me] == SEC && ep[me] > 0 && NEXT(me, HANDOVER) ->
        TAKE(me); n = 0; grace[me] = 0; decide(me) }
#endif
    :: d_step { role[me] == SEC && ep[me] == 0 && NEXT(me, HANDOVER) &&
                ROOM(me) ->
        say(me, FAILED, 0); be_idle(me) }

    /* A secondary that has decided */
    :: d_step { role[me] == TAKING && ask[me] == NONE && OVER(me) ->
        ask[me] = ASKED }
    :: d_step { role[me] == TAKING && ask[me] == WON && grace[me] == 0 ->
        gen[me]++; ask[me] = NONE; take_over(me) }
#ifdef W_LOSER_RETRIES
    :: d_step { role[me] == TAKING && ask[me] == LOST && rec_gen < GENS ->
        gen[me] = rec_gen; ask[me] = ASKED }
#else
    :: d_step { role[me] == TAKING && ask[me] == LOST -> be_idle(me) }
#endif
#ifdef W_TAKE_UNCLAIMED
    :: d_step { role[me] == TAKING && ask[me] == NONE && grace[me] == 0 ->
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

/* --- the arbiter, faults and the clock ----------------------------------- */

inline crash(h) {
    crashes++;
    EXCUSE(USABLE(h) && !USABLE(1 - h));
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

/* The claim of a process that is gone arrives; no living one has its ID */
inline late(h) {
    if
    :: rec_gen == stray[h] ->
        rec_gen++; rec_holder = h; rec_claim = 0; EXCUSE(true)
    :: else
    fi;
    stray[h] = 0
}

/*
 * An administrator, or the host's boot, starts a process as a new primary.  It
 * claims the next generation before it does anything.
 */
#ifdef W_START_ANYWHERE
#define ENTITLED(h) true
#else
#define ENTITLED(h) (rec_holder == h)
#endif

inline start_primary(h) {
    primaries++;
    REBOOT(HOLDS(1 - h) && gen[1 - h] == rec_gen);
#ifndef W_START_UNCLAIMED
    rec_gen++; rec_holder = h; rec_claim = 0;
#endif
    role[h] = ALONE; gen[h] = rec_gen; ep[h] = 1
}

inline count(t) { t = (t > 0 -> t - 1 : 0) }

/*
 * Nothing can happen any more.  Nobody acts: is there a reason?  The only copy
 * that might has died with its process, or it waits for an arbiter that never
 * answers its host, or (WORD) its peer's answer to HANDOVER cannot come.
 */
#define WAITS(h) ((role[h] == LOSING || role[h] == TAKING) && \
                  ask[h] == ASKED && deaf[h])
#ifdef WORD
#define HUSHED(h) (role[h] == HANDED)
#else
#define HUSHED(h) false
#endif
#define EXCUSED (excused || WAITS(0) || WAITS(1) || HUSHED(0) || HUSHED(1))
#define NAMED(h) (!FREE(h) || deaf[h] || \
                  (rec_holder == h && rec_gen == gen[h]))

#define RUNNING(h) (lease[h] > 0 || commit_lease[h] > 0 || \
                    beat_lease[h] > 0 || grace[h] > 0)

proctype world()
{
    byte h;

    do
    :: d_step { RUNNING(0) || RUNNING(1) ->
        for (h : 0 .. 1) {
            count(lease[h]); count(commit_lease[h]); count(beat_lease[h]);
            count(grace[h])
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
#ifdef LIVE
    :: atomic { timeout ->
        CHECK(never_zero, FREE(0) || FREE(1) || EXCUSED);
        RECORDED(NAMED(0) && NAMED(1));
        break }
#endif
    od
}

init {
    d_step {
        role[0] = ALONE; gen[0] = 1; ep[0] = 1;
        role[1] = IDLE;
        ask[0] = NONE; ask[1] = NONE
    };
#ifdef LIVE
    if
    :: true
    :: deaf[0] = true
    :: deaf[1] = true
    :: deaf[0] = true; deaf[1] = true
    fi;
#endif
    atomic {
        run host(0);
        run host(1);
        run world()
    }
}
