/* The plan of the prepare section, whose operations run once after the weights have changed: where their results lie,
 * and when the weights of the others are packed. */
#include "program.h"

static int is_prepared(const cnn_tensor *t) { return t && t->storage == CNN_PREPARED; }

/* May `next` begin before all threads are done with `node`? What an operation of the prepare section writes is its own,
 * so that it has to do with the next one only where that reads what is prepared, or where one of them has a workspace.
 */
static int apart(const cnn_node *node, const cnn_node *next) {
    if (node->section != CNN_PREPARE || next->section != CNN_PREPARE) return 0;
    if (node->choice.workspace_bytes || next->choice.workspace_bytes) return 0;
    for (int i = 0; i < next->n_in; i++) if (is_prepared(next->operands[i])) return 0;
    for (int i = 0; i < node->n_out; i++) if (node->call.out[i] && !is_prepared(node->call.out[i])) return 0;
    for (int i = 0; i < next->n_out; i++) if (next->call.out[i] && !is_prepared(next->call.out[i])) return 0;
    return 1;
}

/* Does the operation read input i when it packs its weights, and never again? */
static int only_packs(const cnn_node *node, int i) {
    return node->ids[i] >= 0 && node->choice.packed_bytes && i < 32 && node->op->packs >> i & 1;
}

/* Does an operation of the prepare section have a workspace or operands in the arena? */
static int uses_arena(const cnn_node *node) {
    int uses = node->choice.workspace_bytes > 0;
    for (int i = 0; i < node->n_in + node->n_out; i++)
        uses |= node->operands[i] && node->operands[i]->storage == CNN_ARENA;
    return uses;
}

static int64_t room(const cnn_program *p, int32_t tensor) {
    return cnn_round_up(cnn_bytes(&p->tensors[tensor]), CNN_ALIGNMENT);
}

void cnn_plan_preparation(cnn_program *p, int *packed_before) {
    for (int64_t n = 0; n + 1 < p->n_nodes; n++) p->nodes[n].apart = apart(&p->nodes[n], &p->nodes[n + 1]);
    while (p->n_prepare < p->n_nodes && p->nodes[p->n_prepare].section == CNN_PREPARE) p->n_prepare++;
    int before = (int)p->n_prepare, arena_is_free = !p->trains;
    for (int n = 0; n < before; n++) arena_is_free &= !uses_arena(&p->nodes[n]);

    /* Which tensors are there for packing alone and can lie in the arena; -1: others. */
    for (int64_t t = 0; t < p->n_tensors; t++)
        packed_before[t] = arena_is_free && is_prepared(&p->tensors[t]) && !p->keep[t] ? before : -1;
    for (int64_t n = 0; n < p->n_nodes; n++)
        for (int i = 0; i < p->nodes[n].n_in; i++)
            if (p->nodes[n].ids[i] >= 0 && !only_packs(&p->nodes[n], i)) packed_before[p->nodes[n].ids[i]] = -1;

    int64_t at = 0; /* in the arena */
    for (int n = before - 1; n >= 0; n--) {
        cnn_node *node = &p->nodes[n];
        const int32_t *outputs = cnn_node_outputs(node);
        int64_t passing = 0;
        for (int i = 0; i < node->n_out; i++)
            if (outputs[i] >= 0 && packed_before[outputs[i]] >= 0) passing += room(p, outputs[i]);
        if (at && at + passing > p->arena_bytes) {
            before = n + 1;
            p->nodes[before].packs = 1;
            node->apart = 0;
            at = 0;
        }
        for (int i = 0; i < node->n_out; i++) {
            if (outputs[i] < 0 || !is_prepared(&p->tensors[outputs[i]])) continue;
            const int passes = packed_before[outputs[i]] >= 0;
            int64_t *end = passes ? &at : &p->prepared_bytes;
            p->tensors[outputs[i]].offset = *end;
            *end += room(p, outputs[i]);
            if (!passes) continue;
            p->tensors[outputs[i]].storage = CNN_ARENA;
            packed_before[outputs[i]] = before;
        }
        p->arena_bytes = cnn_max(p->arena_bytes, at);
    }
    for (int64_t n = 0; n < p->n_nodes; n++) {
        cnn_node *node = &p->nodes[n];
        node->packed_before = (int)p->n_prepare;
        for (int i = 0; i < node->n_in; i++)
            if (only_packs(node, i) && packed_before[node->ids[i]] >= 0)
                node->packed_before = packed_before[node->ids[i]];
    }
}
