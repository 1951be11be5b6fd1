"""OpenVINO on the CPU, in float32: by default it computes in bfloat16 where the processor can."""

import numpy as np

from .. import onnx_file

PACKAGES = ("onnx", "openvino")


def inference(network, model, x, args):
    import openvino

    settings = {
        "INFERENCE_PRECISION_HINT": "f32",
        "INFERENCE_NUM_THREADS": args.threads,
        "NUM_STREAMS": 1,
        "PERFORMANCE_HINT": "LATENCY",
    }
    network_ir = openvino.Core().read_model(onnx_file.convert(model, len(x)).SerializeToString())
    request = openvino.Core().compile_model(network_ir, "CPU", settings).create_infer_request()
    images = openvino.Tensor(np.ascontiguousarray(x.transpose(0, 3, 1, 2)))  # a copy that the tensor owns
    request.set_input_tensor(images)

    def call():
        request.infer()
        return request.get_output_tensor().data

    return {"OpenVINO": call}
