# The block design `system` for a Zynq-7000 with DDR of 512 MB (PYNQ-Z2): processing system, AXI DMA, and the network.
#
#   memory <-> HP0 <-> AXI DMA -- s_axis --> ecg_alq_0 -- m_axis --> AXI DMA
#   GP0 -> registers of AXI DMA and of ecg_alq_0
#
# Engine rtl: ecg_alq_0 is the Verilog core. Engine hls: ecg_alq_0 holds the registers, and both streams run through it
# to and from the HLS core network_0.

proc connect_interfaces {from to} {
    connect_bd_intf_net [get_bd_intf_pins $from] [get_bd_intf_pins $to]
}

proc connect_pins {driver args} {
    foreach pin $args {
        connect_bd_net [get_bd_pins $driver] [get_bd_pins $pin]
    }
}

# Args: settings: dict of engine, clock_mhz, sample_bits, logit_bits, core_address, dma_address.
proc create_system {settings} {
    create_bd_design system

    # The boot loader of the PYNQ image has set up the processing system. What counts here: the clock that PYNQ sets from
    # the handoff when it loads the bitstream, the ports, and the size of the memory.
    create_bd_cell -type ip -vlnv xilinx.com:ip:processing_system7:5.5 processing_system7_0
    if {[get_property board_part [current_project]] ne ""} {
        apply_bd_automation -rule xilinx.com:bd_rule:processing_system7 \
            -config {make_external "none" apply_board_preset "1" Master "Disable" Slave "Disable"} \
            [get_bd_cells processing_system7_0]
    }
    set_property -dict [list \
        CONFIG.PCW_CRYSTAL_PERIPHERAL_FREQMHZ 50 \
        CONFIG.PCW_APU_PERIPHERAL_FREQMHZ 650 \
        CONFIG.PCW_UIPARAM_DDR_PARTNO {MT41J256M16 RE-125} \
        CONFIG.PCW_UIPARAM_DDR_BUS_WIDTH {16 Bit} \
        CONFIG.PCW_FPGA0_PERIPHERAL_FREQMHZ [dict get $settings clock_mhz] \
        CONFIG.PCW_EN_CLK0_PORT 1 \
        CONFIG.PCW_EN_RST0_PORT 1 \
        CONFIG.PCW_USE_M_AXI_GP0 1 \
        CONFIG.PCW_USE_S_AXI_HP0 1 \
    ] [get_bd_cells processing_system7_0]
    foreach {port vlnv} {
        DDR xilinx.com:interface:ddrx_rtl:1.0
        FIXED_IO xilinx.com:display_processing_system7:fixedio_rtl:1.0
    } {
        create_bd_intf_port -mode Master -vlnv $vlnv $port
        connect_bd_intf_net [get_bd_intf_pins processing_system7_0/$port] [get_bd_intf_ports $port]
    }
    create_bd_cell -type ip -vlnv xilinx.com:ip:proc_sys_reset:5.0 reset_0

    # Direct register mode: one transfer per frame. No interrupt: the driver reads the status register, since a frame is
    # done sooner than a process can be woken.
    create_bd_cell -type ip -vlnv xilinx.com:ip:axi_dma:7.1 axi_dma_0
    set logit_bits [dict get $settings logit_bits]
    set_property -dict [list \
        CONFIG.c_include_sg 0 \
        CONFIG.c_sg_include_stscntrl_strm 0 \
        CONFIG.c_sg_length_width 16 \
        CONFIG.c_include_mm2s 1 \
        CONFIG.c_include_s2mm 1 \
        CONFIG.c_m_axi_mm2s_data_width 32 \
        CONFIG.c_m_axis_mm2s_tdata_width [dict get $settings sample_bits] \
        CONFIG.c_m_axi_s2mm_data_width [expr {max(32, $logit_bits)}] \
        CONFIG.c_s_axis_s2mm_tdata_width $logit_bits \
    ] [get_bd_cells axi_dma_0]

    create_bd_cell -type ip -vlnv xilinx.com:ip:smartconnect:1.0 control_0
    set_property -dict {CONFIG.NUM_SI 1 CONFIG.NUM_MI 2} [get_bd_cells control_0]
    create_bd_cell -type ip -vlnv xilinx.com:ip:smartconnect:1.0 memory_0
    set_property -dict {CONFIG.NUM_SI 2 CONFIG.NUM_MI 1} [get_bd_cells memory_0]

    set clocked {
        processing_system7_0/M_AXI_GP0_ACLK processing_system7_0/S_AXI_HP0_ACLK reset_0/slowest_sync_clk
        axi_dma_0/s_axi_lite_aclk axi_dma_0/m_axi_mm2s_aclk axi_dma_0/m_axi_s2mm_aclk
        control_0/aclk memory_0/aclk ecg_alq_0/clk
    }
    set reset {axi_dma_0/axi_resetn control_0/aresetn memory_0/aresetn ecg_alq_0/aresetn}
    if {[dict get $settings engine] eq "hls"} {
        create_bd_cell -type module -reference alq_pynq_hls ecg_alq_0
        create_bd_cell -type ip -vlnv xilinx.com:hls:ecg_alq:1.0 network_0
        lappend clocked network_0/ap_clk
        lappend reset network_0/ap_rst_n
        connect_interfaces ecg_alq_0/to_core network_0/samples
        connect_interfaces network_0/logits ecg_alq_0/from_core
    } else {
        create_bd_cell -type module -reference alq_pynq_rtl ecg_alq_0
    }
    connect_interfaces axi_dma_0/M_AXIS_MM2S ecg_alq_0/s_axis
    connect_interfaces ecg_alq_0/m_axis axi_dma_0/S_AXIS_S2MM

    connect_interfaces processing_system7_0/M_AXI_GP0 control_0/S00_AXI
    connect_interfaces control_0/M00_AXI axi_dma_0/S_AXI_LITE
    connect_interfaces control_0/M01_AXI ecg_alq_0/s_axi
    connect_interfaces axi_dma_0/M_AXI_MM2S memory_0/S00_AXI
    connect_interfaces axi_dma_0/M_AXI_S2MM memory_0/S01_AXI
    connect_interfaces memory_0/M00_AXI processing_system7_0/S_AXI_HP0

    connect_pins processing_system7_0/FCLK_CLK0 {*}$clocked
    connect_pins processing_system7_0/FCLK_RESET0_N reset_0/ext_reset_in
    connect_pins reset_0/peripheral_aresetn {*}$reset

    foreach {space segment offset range} [list \
        processing_system7_0/Data axi_dma_0/S_AXI_LITE/Reg [dict get $settings dma_address] 64K \
        processing_system7_0/Data ecg_alq_0/s_axi/reg0 [dict get $settings core_address] 4K \
        axi_dma_0/Data_MM2S processing_system7_0/S_AXI_HP0/HP0_DDR_LOWOCM 0x00000000 512M \
        axi_dma_0/Data_S2MM processing_system7_0/S_AXI_HP0/HP0_DDR_LOWOCM 0x00000000 512M \
    ] {
        assign_bd_address -force -offset $offset -range $range \
            -target_address_space [get_bd_addr_spaces $space] [get_bd_addr_segs $segment]
    }
    validate_bd_design
    save_bd_design
}
