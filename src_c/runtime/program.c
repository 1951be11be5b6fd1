/* Building programs: tensors and operations are appended, every shape is inferred and checked at once. */
#include "program.h"
#include "memory.h"

#include <stdlib.h>
#include <string.h>

cnn_program *cnn_program_new(void) {
    cnn_program *p = calloc(1, sizeof *p);
    if (!p) return NULL;
    p->pace = calloc(1, sizeof *p->pace);
    if (p->pace) return p;
    free(p);
    return NULL;
}

void cnn_program_free(cnn_program *p) {
    if (!p) return;
    for (int64_t i = 0; i < p->n_nodes; i++) {
        free(p->nodes[i].ids);
        free(p->nodes[i].attr);
        free(p->nodes[i].operands);
    }
    free(p->nodes);
    free(p->tensors);
    free(p->keep);
    free(p->pace);
    free(p);
}

static int append_tensor(cnn_program *p, const cnn_tensor *tensor, cnn_error *error) {
    if (p->n_tensors >= INT32_MAX - 1) return cnn_fail(error, "too many tensors");
    if (cnn_grow((void **)&p->tensors, &p->tensor_capacity, p->n_tensors + 1, sizeof *p->tensors) ||
        cnn_grow((void **)&p->keep, &p->keep_capacity, p->n_tensors + 1, sizeof *p->keep))
        return cnn_fail(error, "out of memory");
    p->tensors[p->n_tensors] = *tensor;
    p->keep[p->n_tensors] = 0;
    return (int)p->n_tensors++;
}

int cnn_program_tensor(cnn_program *p, int storage, int dtype, int rank, const int64_t *dims, int64_t offset_bytes,
                       cnn_error *error) {
    if (p->planned) return cnn_fail(error, "the program is planned already");
    if (storage < CNN_FIRST_FREE || storage >= CNN_MAX_STORAGES)
        return cnn_fail(error, "a declared tensor's storage must be %d to %d, got %d", CNN_FIRST_FREE,
                        CNN_MAX_STORAGES - 1, storage);
    if (offset_bytes < 0 || offset_bytes > INT64_MAX / 2)
        return cnn_fail(error, "a tensor's offset must not be negative or beyond memory");
    if (rank < 1 || rank > CNN_MAX_RANK)
        return cnn_fail(error, "a tensor must have 1 to %d dimensions, got %d", CNN_MAX_RANK, rank);
    cnn_tensor t = {.storage = storage, .dtype = dtype, .rank = rank, .offset = offset_bytes};
    memcpy(t.dims, dims, (size_t)rank * sizeof *dims);
    if (cnn_check_shape(&t, error)) return -1;
    if (offset_bytes % cnn_dtype_bytes(dtype))
        return cnn_fail(error, "a tensor's offset must be a multiple of its element's size");
    return append_tensor(p, &t, error);
}

int cnn_program_keep(cnn_program *p, int tensor, cnn_error *error) {
    if (tensor < 0 || tensor >= p->n_tensors) return cnn_fail(error, "there is no tensor number %d", tensor);
    p->keep[tensor] = 1;
    return 0;
}

enum { MAX_OPERANDS = 4096 };

/* Infers into `inferred`, and compares with the tensors that were declared for the results. */
static int check_op(const cnn_program *p, int op, const int32_t *inputs, int n_inputs, const double *attributes,
                    const int32_t *outputs, int n_outputs, cnn_tensor *inferred, cnn_error *error) {
    if (op < 0 || op >= cnn_ops_count) return cnn_fail(error, "there is no operation number %d", op);
    const char *name = cnn_ops[op]->name;
    const cnn_tensor **in = calloc((size_t)n_inputs + 1, sizeof *in);
    if (!in) return cnn_fail(error, "out of memory");
    int status = 0;
    for (int i = 0; i < n_inputs && !status; i++) {
        if (inputs[i] >= p->n_tensors || inputs[i] < CNN_ABSENT)
            status = cnn_fail(error, "%s: there is no tensor number %d", name, (int)inputs[i]);
        else in[i] = inputs[i] < 0 ? NULL : &p->tensors[inputs[i]];
    }
    if (!status) status = cnn_op_infer(op, in, n_inputs, attributes, inferred, n_outputs, error);
    free(in);
    for (int i = 0; i < n_outputs && !status; i++) {
        char a[64], b[64];
        if (outputs[i] >= p->n_tensors || outputs[i] < CNN_UNWANTED)
            return cnn_fail(error, "%s: there is no tensor number %d", name, (int)outputs[i]);
        if (outputs[i] == CNN_UNWANTED) continue;
        if (inferred[i].rank == 0) return cnn_fail(error, "%s: output %d does not exist for these inputs", name, i);
        if (outputs[i] < 0) continue;
        if (!cnn_ops[op]->run)
            return cnn_fail(error, "%s: is a view and has no memory of its own; copy it into tensor number %d", name,
                            (int)outputs[i]);
        const cnn_tensor *declared = &p->tensors[outputs[i]];
        if (declared->dtype != inferred[i].dtype || !cnn_same_shape(declared, &inferred[i]))
            return cnn_fail(error, "%s: output %d has shape %s, but the tensor for it has %s", name, i,
                            cnn_shape_text(&inferred[i], a), cnn_shape_text(declared, b));
        if (declared->storage == CNN_ARENA || declared->storage == CNN_PREPARED)
            return cnn_fail(error, "%s: output %d is the result of another operation", name, i);
    }
    /* Operations that change state in place must name the changed inputs as their outputs. */
    for (int i = 0, output = 0; i < n_inputs && !status; i++) {
        if (!(cnn_ops[op]->updates >> i & 1) || inputs[i] < 0) continue;
        if (output >= n_outputs || outputs[output] != inputs[i])
            return cnn_fail(error, "%s: works in place: output %d must be the tensor of input %d", name, output, i);
        output++;
    }
    return status;
}

int cnn_program_op(cnn_program *p, int op, int section, const int32_t *inputs, int n_inputs, const double *attributes,
                   int32_t *outputs, int n_outputs, cnn_error *error) {
    if (p->planned) return cnn_fail(error, "the program is planned already");
    if (section != CNN_PREPARE && section != CNN_COMPUTE && section != CNN_UPDATE)
        return cnn_fail(error, "there is no section number %d", section);
    if (p->n_nodes && section < p->nodes[p->n_nodes - 1].section)
        return cnn_fail(error, "operations must be appended section by section");
    if (n_inputs < 0 || n_outputs < 0 || n_inputs + n_outputs > MAX_OPERANDS)
        return cnn_fail(error, "an operation has at most %d operands", MAX_OPERANDS);
    int n_attrs = 0;
    if (op >= 0 && op < cnn_ops_count) while (cnn_op_attributes(op)[n_attrs].name) n_attrs++;

    cnn_tensor *inferred = calloc((size_t)n_outputs + 1, sizeof *inferred);
    int32_t *ids = calloc((size_t)(n_inputs + n_outputs) + 1, sizeof *ids);
    double *attr = calloc((size_t)n_attrs + 1, sizeof *attr);
    const cnn_tensor **operands = calloc((size_t)(n_inputs + n_outputs) + 1, sizeof *operands);
    int64_t n_tensors = p->n_tensors;
    if (!inferred || !ids || !attr || !operands) { cnn_fail(error, "out of memory"); goto failed; }
    if (check_op(p, op, inputs, n_inputs, attributes, outputs, n_outputs, inferred, error)) goto failed;
    if (cnn_grow((void **)&p->nodes, &p->node_capacity, p->n_nodes + 1, sizeof *p->nodes)) {
        cnn_fail(error, "out of memory");
        goto failed;
    }
    for (int i = 0; i < n_inputs; i++) ids[i] = inputs[i];
    for (int i = 0; i < n_outputs; i++) {
        ids[n_inputs + i] = outputs[i];
        if (outputs[i] != CNN_ABSENT) continue;
        inferred[i].storage = section == CNN_PREPARE ? CNN_PREPARED : CNN_ARENA;
        if (!cnn_ops[op]->run &&
            p->tensors[inputs[0]].storage >= CNN_FIRST_FREE) { /* a view of the caller's memory lies there too */
            inferred[i].storage = p->tensors[inputs[0]].storage;
            inferred[i].offset = p->tensors[inputs[0]].offset;
        }
        if ((ids[n_inputs + i] = append_tensor(p, &inferred[i], error)) < 0) { p->n_tensors = n_tensors; goto failed; }
    }
    for (int i = 0; i < n_outputs; i++) outputs[i] = ids[n_inputs + i];
    for (int i = 0; i < n_attrs; i++) attr[i] = attributes[i];
    p->nodes[p->n_nodes] = (cnn_node){.op = cnn_ops[op],
                                      .section = section,
                                      .n_in = n_inputs,
                                      .n_out = n_outputs,
                                      .ids = ids,
                                      .attr = attr,
                                      .operands = operands};
    free(inferred);
    return (int)p->n_nodes++;

failed:
    free(inferred);
    free(ids);
    free(attr);
    free(operands);
    return -1;
}

int64_t cnn_program_arena_bytes(const cnn_program *p, int threads) {
    return p->arena_bytes + p->thread_bytes * threads;
}
int64_t cnn_program_prepared_bytes(const cnn_program *p) { return p->prepared_bytes; }
int cnn_program_op_count(const cnn_program *p) { return (int)p->n_nodes; }
int cnn_program_tensor_count(const cnn_program *p) { return (int)p->n_tensors; }
const cnn_tensor *cnn_program_get_tensor(const cnn_program *p, int tensor) {
    return tensor >= 0 && tensor < p->n_tensors ? &p->tensors[tensor] : NULL;
}

double cnn_node_flops(const cnn_node *node) {
    if (!node->op->run) return 0;                                              /* views cost nothing */
    if (node->op->flops) return node->op->flops(&node->call);
    return node->n_out && node->call.out[0] ? (double)cnn_count(node->call.out[0]) : 0;
}

int cnn_program_op_info(const cnn_program *p, int index, cnn_op_info *info) {
    if (!p->planned || index < 0 || index >= p->n_nodes) return -1;
    const cnn_node *node = &p->nodes[index];
    double bytes = 0;
    for (int i = 0; node->op->run && i < node->n_in + node->n_out; i++)        /* views cost nothing */
        if (node->operands[i]) bytes += (double)cnn_bytes(node->operands[i]);
    *info = (cnn_op_info){.op = -1,
                          .section = node->section,
                          .kernel = node->choice.kernel ? node->choice.kernel : "",
                          .flops = cnn_node_flops(node),
                          .bytes = bytes,
                          .workspace_bytes = node->choice.workspace_bytes,
                          .packed_bytes = node->choice.packed_bytes,
                          .packed_before = node->packed_before,
                          .n_inputs = node->n_in,
                          .n_outputs = node->n_out,
                          .inputs = node->ids,
                          .outputs = cnn_node_outputs(node),
                          .attributes = node->attr};
    for (int op = 0; op < cnn_ops_count; op++) if (cnn_ops[op] == node->op) info->op = op;
    return 0;
}
