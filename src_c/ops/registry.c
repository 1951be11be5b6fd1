/* All operations. The order is free: programs and files refer to operations by name. */
#include "../runtime/op.h"

#define CNN_OPERATIONS(X) \
    X(activation) X(activation_backward) \
    X(add) X(subtract) X(multiply) X(maximum) X(minimum) X(maximum_backward) X(minimum_backward) \
    X(softmax) X(softmax_backward) X(reduce_sum_to) X(affine) X(fill) X(dropout) X(gaussian_noise) \
    X(log) X(log_backward) X(arctan) X(arctan_backward) X(replace_nan) X(standardize) X(standardize_backward) \
    X(concat) X(slice) X(pad2d) X(crop2d) X(upsample2d) X(upsample2d_backward) \
    \
    X(softmax_cross_entropy) X(softmax_cross_entropy_backward) X(categorical_cross_entropy) \
    X(categorical_cross_entropy_backward) \
    X(sigmoid_cross_entropy) X(sigmoid_cross_entropy_backward) X(binary_cross_entropy) \
    X(binary_cross_entropy_backward) \
    X(squared_error) X(squared_error_backward) X(absolute_error) X(absolute_error_backward) \
    X(weighted_mean) X(weighted_mean_backward) X(l1_l2_penalty) X(l1_l2_backward) X(correct) \
    \
    X(sum_of_squares) X(clip_scale) X(sgd) X(adam) \
    \
    X(conv2d) X(conv2d_backward_input) X(conv2d_backward_weight) X(conv2d_transpose) \
    X(dense) X(dense_backward_input) X(dense_backward_weight) \
    \
    X(batchnorm_moments) X(batchnorm) X(batchnorm_constants) X(batchnorm_backward) \
    X(batchnorm_backward_constants) X(batchnorm_fold) X(moving_average) \
    X(max_pool2d) X(max_pool2d_backward) X(avg_pool2d) X(avg_pool2d_backward) \
    X(depthwise_conv2d) X(depthwise_conv2d_backward_input) X(depthwise_conv2d_backward_weight) \
    X(pointwise_depthwise_conv2d) X(batchnorm_depthwise_conv2d) X(batchnorm_depthwise_conv2d_backward) \
    X(expansion_moments) X(expanded_depthwise_conv2d) X(expanded_depthwise_conv2d_backward) \
    X(batchnorm_conv2d) X(batchnorm_conv2d_backward_weight) X(pointwise_conv2d_backward) \
    X(conv2d_max_pool2d) X(conv2d_max_pool2d_backward_weight) \
    \
    X(reshape)

#define DECLARE(name) extern const cnn_op cnn_op_##name;
CNN_OPERATIONS(DECLARE)

#define ENTRY(name) &cnn_op_##name,
const cnn_op *const cnn_ops[] = { CNN_OPERATIONS(ENTRY) };
const int cnn_ops_count = (int)(sizeof cnn_ops / sizeof *cnn_ops);
