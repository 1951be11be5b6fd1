"""ONNX Runtime: the CPU provider with all graph optimizations, inputs and outputs bound ahead."""

import numpy as np

from .. import onnx_file

PACKAGES = ("onnx", "onnxruntime")


def inference(network, model, x, args):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = args.threads, 1
    session = onnxruntime.InferenceSession(
        onnx_file.convert(model, len(x)).SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    images = onnxruntime.OrtValue.ortvalue_from_numpy(np.ascontiguousarray(x.transpose(0, 3, 1, 2)))
    logits = onnxruntime.OrtValue.ortvalue_from_shape_and_type(session.get_outputs()[0].shape, np.float32)
    binding = session.io_binding()
    binding.bind_ortvalue_input("images", images)
    binding.bind_ortvalue_output("logits", logits)

    def call():
        session.run_with_iobinding(binding)
        return logits.numpy()

    return {"ONNX Runtime": call}
