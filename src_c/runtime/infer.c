/* The table of operations seen from outside, and the shape rules: every output's shape and type follows from the inputs
 * and attributes. */
#include "op.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

int cnn_op_count(void) { return cnn_ops_count; }
const char *cnn_op_name(int op) { return cnn_ops[op]->name; }
const char *cnn_op_summary(int op) { return cnn_ops[op]->summary; }
const char *cnn_op_inputs(int op) { return cnn_ops[op]->inputs; }
const char *cnn_op_outputs(int op) { return cnn_ops[op]->outputs; }
const cnn_attr_def *cnn_op_attributes(int op) {
    static const cnn_attr_def none[] = {{0}};
    return cnn_ops[op]->attrs ? cnn_ops[op]->attrs : none;
}

int cnn_op_find(const char *name) {
    for (int op = 0; op < cnn_ops_count; op++) if (strcmp(cnn_ops[op]->name, name) == 0) return op;
    return -1;
}

/* Checks presence and number of operands against a signature such as "x w [bias]" or "x ..." (the last name repeats).
 * With have == NULL only the number is checked (outputs). */
static int check_operands(const char *signature, const char *kind, const cnn_tensor *const *have, int n,
                          cnn_error *error) {
    int position = 0, repeats = 0;
    for (const char *at = signature; *at;) {
        while (*at == ' ') at++;
        int length = (int)strcspn(at, " ");
        if (length == 0) break;
        if (length == 3 && strncmp(at, "...", 3) == 0) { repeats = 1; at += length; continue; }
        int optional = *at == '[';
        if (!optional && position >= n) return cnn_fail(error, "%s %.*s is missing", kind, length, at);
        if (!optional && have && !have[position]) return cnn_fail(error, "%s %.*s is missing", kind, length, at);
        position++;
        at += length;
    }
    if (n > position && !repeats)
        return cnn_fail(error, "takes at most %d %ss (%s), got %d", position, kind, signature, n);
    for (int i = position; have && i < n; i++) if (!have[i]) return cnn_fail(error, "%s %d is missing", kind, i);
    return 0;
}

int cnn_check_shape(const cnn_tensor *t, cnn_error *error) {
    if (t->rank < 1 || t->rank > CNN_MAX_RANK)
        return cnn_fail(error, "a tensor must have 1 to %d dimensions, got %d", CNN_MAX_RANK, (int)t->rank);
    if (t->dtype < 0 || t->dtype >= CNN_DTYPES) return cnn_fail(error, "unknown element type %d", (int)t->dtype);
    double count = 1;
    for (int i = 0; i < t->rank; i++) {
        char shape[64];
        if (t->dims[i] < 1 || t->dims[i] > INT32_MAX)
            return cnn_fail(error, "every dimension must be 1 to 2147483647, got shape %s", cnn_shape_text(t, shape));
        count *= (double)t->dims[i];
        if (count > 1e12) return cnn_fail(error, "shape %s has more than 1e12 elements", cnn_shape_text(t, shape));
    }
    return 0;
}

static int infer(const cnn_op *op, const cnn_call *call, cnn_tensor *outputs, cnn_error *error) {
    if (check_operands(op->inputs, "input", call->in, call->n_in, error)) return -1;
    if (check_operands(op->outputs, "output", NULL, call->n_out, error)) return -1;
    for (int i = 0; op->attrs && op->attrs[i].name; i++) {
        const cnn_attr_def *a = &op->attrs[i];
        double value = call->attr[i];
        if (a->type == CNN_INT && value != floor(value))
            return cnn_fail(error, "%s must be an integer, got %g", a->name, value);
        if (!(value >= a->min && value <= a->max))
            return cnn_fail(error, "%s must be in %g to %g, got %g", a->name, a->min, a->max, value);
    }
    for (int i = 0; i < call->n_out; i++) outputs[i] = (cnn_tensor){.dtype = CNN_F32};
    if (op->infer(call, outputs, error)) return -1;
    for (int i = 0; i < call->n_out; i++) if (outputs[i].rank && cnn_check_shape(&outputs[i], error)) return -1;
    return 0;
}

int cnn_op_infer(int op, const cnn_tensor *const *inputs, int n_inputs, const double *attributes, cnn_tensor *outputs,
                 int n_outputs, cnn_error *error) {
    if (op < 0 || op >= cnn_ops_count) return cnn_fail(error, "there is no operation number %d", op);
    cnn_call call = {.attr = attributes, .n_in = n_inputs, .n_out = n_outputs, .in = inputs};
    cnn_error inner = {{0}};
    if (infer(cnn_ops[op], &call, outputs, &inner) == 0) return 0;
    return cnn_fail(error, "%s: %.400s", cnn_ops[op]->name, inner.text);
}
