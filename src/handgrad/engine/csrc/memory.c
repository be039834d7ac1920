/* Memory: room() for what a network keeps, and a stack of scratch for each thread.
 *
 *   Scratch here = scratch_begin();  real *x = scratch(bytes);  ...  scratch_end(here);
 *
 * A pass needs the same scratch at every step. malloc would give large pieces back to the system,
 * which clears each of their pages before it hands them out again: half the time of a softmax step.
 */
#include "engine.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

void *room(int64_t bytes) {
    void *found = NULL;
    if (posix_memalign(&found, 64, (size_t)MAX(bytes, 64)) != 0) {
        fprintf(stderr, "handgrad: no memory for %lld bytes\n", (long long)bytes);
        abort();
    }
    return found;
}

/* Pieces of growing size, the newest first; only the newest is given from. */
typedef struct Piece {
    struct Piece *before;
    int64_t size, used;
    char numbers[] __attribute__((aligned(64)));
} Piece;

static _Thread_local Piece *newest;
static pthread_key_t at_the_end;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void forget(void *piece) {
    for (Piece *p = piece, *before; p; p = before) {
        before = p->before;
        free(p);
    }
    newest = NULL;
}

static void prepare(void) { pthread_key_create(&at_the_end, forget); }

static void add_piece(int64_t size) {
    Piece *piece = room((int64_t)sizeof(Piece) + size);
    piece->before = newest;
    piece->size = size;
    piece->used = 0;
    newest = piece;
    pthread_once(&once, prepare);
    pthread_setspecific(at_the_end, newest);
}

Scratch scratch_begin(void) { return (Scratch){newest, newest ? newest->used : 0}; }

void *scratch(int64_t bytes) {
    bytes = (MAX(bytes, 1) + 63) / 64 * 64;
    if (!newest || newest->used + bytes > newest->size)
        add_piece(MAX(bytes, newest ? 2 * newest->size : 1 << 18));
    newest->used += bytes;
    return newest->numbers + newest->used - bytes;
}

/* The newest piece, which is the largest, is kept: soon it is enough for everything. */
void scratch_end(Scratch begun) {
    Piece *begins_in = begun.piece;
    if (begins_in) begins_in->used = begun.used;
    if (newest == begins_in) return;
    Piece *largest = newest;
    for (Piece *p = largest->before, *before; p != begins_in; p = before) {
        before = p->before;
        free(p);
    }
    largest->before = begins_in;    /* who began further out may still count on it */
    largest->used = 0;
}
