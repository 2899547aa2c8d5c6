from ipcir_steps.cli import main

raise SystemExit(main())
