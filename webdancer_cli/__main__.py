"""``python -m webdancer_cli``, and the module that torchrun starts."""

from webdancer_cli.cli import main

if __name__ == "__main__":
    main()
