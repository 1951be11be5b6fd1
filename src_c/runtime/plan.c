/* Planning: each operation chooses its kernel from the shapes, then memory is laid out so that tensors which never live
 * at the same time share it.
 *
 * Memory. The unit is a block: an arena tensor with all its views and in-place successors, or an operation's workspace
 * (in a program that trains with its packed weights, which every step makes anew);
 * it lives from the first operation that writes it to the last that reads it. Blocks are placed by decreasing size at
 * the lowest offset that no block with an overlapping life occupies ("greedy by size", Pisarchyk and Lee 2020,
 * arXiv:2001.03288). */
#include "program.h"
#include "isa.h"

#include <stdlib.h>
#include <string.h>

typedef struct block {
    int64_t bytes, offset;
    int first, last;
    int tensor, node;
} block; /* node >= 0: the workspace of that node */

static int choose_kernels(cnn_program *p, const cnn_kernels *kernels, int exact, cnn_error *error) {
    for (int64_t n = 0; n < p->n_nodes; n++) {
        cnn_node *node = &p->nodes[n];
        for (int i = 0; i < node->n_in + node->n_out; i++)
            node->operands[i] = node->ids[i] < 0 ? NULL : &p->tensors[node->ids[i]];
        node->call = (cnn_call){.attr = node->attr,
                                .n_in = node->n_in,
                                .n_out = node->n_out,
                                .in = node->operands,
                                .out = node->operands + node->n_in,
                                .kernels = kernels,
                                .exact = exact,
                                .trains = p->trains};
        cnn_error inner = {{0}};
        if (node->op->plan && node->op->plan(&node->call, &node->choice, &inner))
            return cnn_fail(error, "%s: %.400s", node->op->name, inner.text);
        if (!p->trains) {
            node->packed_offset = p->prepared_bytes;
            p->prepared_bytes += cnn_round_up(node->choice.packed_bytes, CNN_ALIGNMENT);
        }
        p->thread_bytes = cnn_max(p->thread_bytes, cnn_round_up(node->choice.thread_workspace_bytes, CNN_PAGE));
        for (int i = 0; i < node->n_out; i++) {
            int32_t id = cnn_node_outputs(node)[i];
            if (id >= 0 && p->tensors[id].storage == CNN_PREPARED && !node->op->run)
                return cnn_fail(error, "%s: a view cannot be prepared", node->op->name);
        }
    }
    return 0;
}

/* What an operation needs in the arena beside its tensors: its workspace, then its packed weights where they are kept
 * for it alone. */
static int64_t scratch_bytes(const cnn_program *p, const cnn_node *node) {
    const int64_t packed = p->trains ? node->choice.packed_bytes : 0;
    return cnn_round_up(node->choice.workspace_bytes, CNN_ALIGNMENT) + cnn_round_up(packed, CNN_ALIGNMENT);
}

static int find(int *parent, int i) {
    while (parent[i] != i) i = parent[i] = parent[parent[i]];
    return i;
}

/* Merges tensors that share memory: a view with what it shows; an in-place result with the input that ends there.
 * parent: disjoint sets of tensors. */
static void merge(const cnn_program *p, int *parent, int *last, int reuse) {
    for (int n = 0; n < (int)p->n_nodes; n++) {
        const cnn_node *node = &p->nodes[n];
        if (node->n_out == 0 || cnn_node_outputs(node)[0] < 0) continue;
        int out = cnn_node_outputs(node)[0];
        if (p->tensors[out].storage != CNN_ARENA) continue;
        for (int i = 0; i < node->n_in; i++) {
            int in = node->ids[i];
            int view = !node->op->run && i == 0;
            if (in < 0 || (!view && !(reuse && i < 32 && node->op->in_place >> i & 1))) continue;
            if (p->tensors[in].storage != CNN_ARENA) continue;
            int a = find(parent, in), b = find(parent, out);
            if (!view && (last[a] > n || a == b || cnn_bytes(&p->tensors[in]) != cnn_bytes(&p->tensors[out]))) continue;
            int twice = 0; /* the same memory read through another operand as well: that reading might come after the
                              writing */
            for (int j = 0; j < node->n_in && !view; j++)
                twice |= j != i && node->ids[j] >= 0 && find(parent, node->ids[j]) == a;
            if (twice) continue;
            parent[b] = a;
            last[a] = (int)cnn_max(last[a], last[b]);
            break;
        }
    }
}

/* Of a tensor. A large one is followed by a gap, so that those of one shape do not begin at the same place of a page:
 * an operation reads some of them side by side, whose rows, where they are a page apart, would all fall into the same
 * sets of the first cache. */
static int64_t block_bytes(const cnn_tensor *t) {
    enum { LARGE_BYTES = 64 << 10, GAP_BYTES = 256 };
    return cnn_round_up(cnn_bytes(t), CNN_ALIGNMENT) + (cnn_bytes(t) >= LARGE_BYTES ? GAP_BYTES : 0);
}

static int larger_first(const void *a, const void *b) {
    const block *x = a, *y = b;
    if (x->bytes != y->bytes) return x->bytes < y->bytes ? 1 : -1;
    if (x->first != y->first) return x->first < y->first ? -1 : 1;
    return x->tensor != y->tensor ? (x->tensor < y->tensor ? -1 : 1) : (x->node < y->node ? -1 : 1);
}

static int by_offset(const void *a, const void *b) {
    const block *const *x = a, *const *y = b;
    return (*x)->offset < (*y)->offset ? -1 : (*x)->offset > (*y)->offset;
}

static void place(block *blocks, int count, const block **near, int reuse, int64_t *arena_bytes) {
    qsort(blocks, (size_t)count, sizeof *blocks, larger_first);
    for (int i = 0; i < count; i++) {
        block *b = &blocks[i];
        int n = 0;
        for (int j = 0; j < i; j++)
            if (!reuse || (blocks[j].first <= b->last && b->first <= blocks[j].last)) near[n++] = &blocks[j];
        qsort(near, (size_t)n, sizeof *near, by_offset);
        int64_t at = 0;
        for (int j = 0; j < n; j++) {
            if (at + b->bytes <= near[j]->offset) break;
            at = cnn_max(at, near[j]->offset + near[j]->bytes);
        }
        b->offset = at;
        *arena_bytes = cnn_max(*arena_bytes, at + b->bytes);
    }
}

int cnn_program_plan(cnn_program *p, int isa, int flags, cnn_error *error) {
    if (p->planned) return cnn_fail(error, "the program is planned already");
    if (isa < 0) isa = cnn_isa_in_use();
    if (!cnn_isa_available(isa))
        return cnn_fail(error, "instruction set number %d is not available on this processor", isa);
    p->trains = (flags & CNN_TRAINS) != 0;
    for (int64_t n = 0; n < p->n_nodes; n++) p->trains |= p->nodes[n].section == CNN_UPDATE;
    if (choose_kernels(p, cnn_isa_kernels(isa), (flags & CNN_EXACT) != 0, error)) return -1;
    int reuse = flags & CNN_REUSE_MEMORY, status = -1, count = 0, T = (int)p->n_tensors, N = (int)p->n_nodes;
    int *parent = calloc((size_t)T + 1, sizeof *parent), *first = calloc((size_t)T + 1, sizeof *first),
        *last = calloc((size_t)T + 1, sizeof *last);
    block *blocks = calloc((size_t)(T + N) + 1, sizeof *blocks);
    const block **near = calloc((size_t)(T + N) + 1, sizeof *near);
    if (!parent || !first || !last || !blocks || !near) { cnn_fail(error, "out of memory"); goto done; }

    for (int t = 0; t < T; t++) { parent[t] = t; first[t] = N; last[t] = -1; }
    for (int n = 0; n < N; n++)
        for (int i = 0; i < p->nodes[n].n_in + p->nodes[n].n_out; i++) {
            int t = p->nodes[n].ids[i];
            if (t < 0) continue;
            first[t] = (int)cnn_min(first[t], n);
            last[t] = n;
        }
    for (int t = 0; t < T; t++) if (p->keep[t]) last[t] = N;
    merge(p, parent, last, reuse);
    for (int t = 0; t < T; t++) {                              /* the life and size of a set are kept at its root */
        int root = find(parent, t);
        first[root] = (int)cnn_min(first[root], first[t]);
        last[root] = (int)cnn_max(last[root], last[t]);
    }
    for (int t = 0; t < T; t++)
        if (p->tensors[t].storage == CNN_ARENA && parent[t] == t && last[t] >= 0)
            blocks[count++] = (block){.bytes = block_bytes(&p->tensors[t]),
                                      .first = first[t],
                                      .last = last[t],
                                      .tensor = t,
                                      .node = -1};
    for (int n = 0; n < N; n++)
        if (scratch_bytes(p, &p->nodes[n]) > 0)
            blocks[count++] = (block){.bytes = scratch_bytes(p, &p->nodes[n]),
                                      .first = n,
                                      .last = n,
                                      .tensor = -1,
                                      .node = n};
    place(blocks, count, near, reuse, &p->arena_bytes);
    p->arena_bytes = cnn_round_up(p->arena_bytes, CNN_PAGE);  /* the memory of threads follows */
    for (int i = 0; i < count; i++) {
        if (blocks[i].node >= 0) {
            cnn_node *node = &p->nodes[blocks[i].node];
            node->workspace_offset = blocks[i].offset;
            if (p->trains)
                node->packed_offset = blocks[i].offset + cnn_round_up(node->choice.workspace_bytes, CNN_ALIGNMENT);
        } else p->tensors[blocks[i].tensor].offset = blocks[i].offset;
    }
    for (int t = 0; t < T; t++)
        if (p->tensors[t].storage == CNN_ARENA) p->tensors[t].offset = p->tensors[find(parent, t)].offset;
    cnn_plan_preparation(p, first);                            /* which nobody reads any more */
    for (int n = 0; n < N; n++) p->flops += cnn_node_flops(&p->nodes[n]);
    p->planned = 1;
    status = 0;
done:
    free(parent); free(first); free(last); free(blocks); free(near);
    return status;
}
