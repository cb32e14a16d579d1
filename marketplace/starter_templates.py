"""The templates that the platform itself offers: well-known public images with settings that make sense for them."""

from marketplace.domain.templates import TemplateContent

DEMO_KEY = "demo"

STARTERS: dict[str, TemplateContent] = {
    "ubuntu-22.04": TemplateContent(
        name="Ubuntu 22.04",
        desc="A plain system to build on: log in with SSH and install what you need.",
        image="ubuntu",
        tag="22.04",
        href="https://hub.docker.com/_/ubuntu",
        disk_gb=16,
        readme="Log in as root. apt-get update && apt-get install works as on any Ubuntu.\n\n"
        "The NVIDIA driver's libraries and nvidia-smi are those of the host's machine; install the CUDA toolkit "
        "yourself if you compile.",
    ),
    "debian-12": TemplateContent(
        name="Debian 12",
        desc="A small, steady system to build on.",
        image="debian",
        tag="12",
        href="https://hub.docker.com/_/debian",
        disk_gb=16,
        readme="Log in as root. apt-get update && apt-get install works as on any Debian.",
    ),
    "pytorch": TemplateContent(
        name="PyTorch",
        desc="PyTorch with CUDA and cuDNN, for training and experiments.",
        image="pytorch/pytorch",
        tag="2.5.1-cuda12.4-cudnn9-devel",
        href="https://hub.docker.com/r/pytorch/pytorch",
        disk_gb=40,
        ports=((8080, "tcp"), (6006, "tcp")),
        extra_filters={"cuda_max_good": {"gte": 12.4}},
        readme="Log in as root and run python.\n\nPort 6006 is open for TensorBoard: "
        "tensorboard --host 0.0.0.0 --logdir runs\nPort 8080 is open for a server of yours.",
    ),
    "pytorch-jupyter": TemplateContent(
        name="PyTorch with JupyterLab",
        desc="The same in the browser: notebooks, terminals and files, and SSH.",
        image="pytorch/pytorch",
        tag="2.5.1-cuda12.4-cudnn9-devel",
        href="https://hub.docker.com/r/pytorch/pytorch",
        runtype="jupyter",
        use_jupyter_lab=True,
        jupyter_dir="/workspace",
        disk_gb=40,
        ports=((6006, "tcp"),),
        extra_filters={"cuda_max_good": {"gte": 12.4}},
        readme="Open Jupyter on the instance's card opens it. At the first start JupyterLab is installed, which takes "
        "a minute or two.\n\nPort 6006 is open for TensorBoard.",
    ),
    "tensorflow": TemplateContent(
        name="TensorFlow",
        desc="TensorFlow and Keras with GPU support.",
        image="tensorflow/tensorflow",
        tag="2.17.0-gpu",
        href="https://hub.docker.com/r/tensorflow/tensorflow",
        disk_gb=32,
        env={"TF_FORCE_GPU_ALLOW_GROWTH": "true"},
        ports=((6006, "tcp"),),
        extra_filters={"cuda_max_good": {"gte": 12.3}},
        readme="Log in as root and run python.\n\nPort 6006 is open for TensorBoard: "
        "tensorboard --host 0.0.0.0 --logdir logs",
    ),
    "cuda-devel": TemplateContent(
        name="CUDA 12.4 devel",
        desc="The CUDA toolkit with nvcc and headers, to compile your own code.",
        image="nvidia/cuda",
        tag="12.4.1-devel-ubuntu22.04",
        href="https://hub.docker.com/r/nvidia/cuda",
        disk_gb=32,
        extra_filters={"cuda_max_good": {"gte": 12.4}},
        readme="Log in as root. nvcc is in /usr/local/cuda/bin.",
    ),
    "vllm": TemplateContent(
        name="vLLM server",
        desc="An OpenAI-compatible server for language models. Choose the model in the command.",
        image="vllm/vllm-openai",
        tag="v0.6.3",
        href="https://hub.docker.com/r/vllm/vllm-openai",
        repo="https://github.com/vllm-project/vllm",
        runtype="args",
        args=("--model", "Qwen/Qwen2.5-7B-Instruct", "--host", "0.0.0.0", "--port", "8000"),  # noqa: S104 - within the container
        ports=((8000, "tcp"),),
        disk_gb=60,
        extra_filters={"gpu_ram_GB": {"gte": 23}, "cuda_max_good": {"gte": 12.1}},
        readme="The server answers on the public port that the instance's page shows for 8000, as soon as the model is "
        "loaded:\n\n  curl http://ADDRESS:PORT/v1/models\n\nAnother model: replace the word behind --model. Models "
        "with a licence to accept need HF_TOKEN in the environment.",
    ),
    "ollama": TemplateContent(
        name="Ollama",
        desc="Runs quantised language models; pull one with a request to its API.",
        image="ollama/ollama",
        tag="0.3.14",
        href="https://hub.docker.com/r/ollama/ollama",
        runtype="args",
        env={"OLLAMA_HOST": "0.0.0.0:11434"},
        ports=((11434, "tcp"),),
        disk_gb=50,
        readme="The API answers on the public port that the instance's page shows for 11434:\n\n"
        '  curl http://ADDRESS:PORT/api/pull -d \'{"name": "llama3.2"}\'',
    ),
}


def demo_template(image: str) -> TemplateContent:
    """For the image that a demo makes itself, so that there is one which starts without any registry."""
    name, _, tag = image.partition(":")
    return TemplateContent(
        name="Demo image",
        desc="The small system that this demo is built with. It starts without the internet.",
        image=name,
        tag=tag,
        disk_gb=12,
        ports=((8080, "tcp"),),
        readme="Log in as root with SSH. Port 8080 is open for a server of yours.",
    )
